#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "tests/unit/report_fixture.hpp"

using namespace rehearse;
using nlohmann::json;
using rehearse::test::ReportGraph;

namespace {

// Two pipeline stages: a host each, forward work that is handed over, a merged task, memory.
// Durations are odd picoseconds, so that a rounding to nanoseconds would make slices overlap.
ReportGraph pipeline() {
  ReportGraph g;
  const auto a = g.device(0, 0);
  const auto b = g.device(3, 1);
  g.notes.devices[1].represents = 4;
  const std::int32_t p2p = g.collective("send_recv", "pp", 4096, 4096);
  for (int i = 0; i < 50; ++i) {
    const TaskId issue = g.task(a.host, Activity::kHost, 1'234'567);
    const TaskId forward = g.task(a.compute, Activity::kForward, 7'654'321, {issue});
    g.notes.tasks[forward].name = g.name("gemm \"256x128\"\n");
    g.notes.tasks[forward].label = g.name("layer 0 mlp");
    g.notes.tasks[forward].micro_batch = i;
    g.notes.tasks[forward].chunk = 0;
    const TaskId start = g.join(499, {forward});
    const TaskId sent = g.communicate(a.communication, Activity::kSend, 333'333, p2p, {start});
    const TaskId received =
        g.communicate(b.communication, Activity::kReceive, 333'333, p2p, {start});
    const auto flow = static_cast<std::uint32_t>(i + 1);
    g.notes.tasks[sent].flow = flow;
    g.notes.tasks[received].flow = flow;
    g.task(b.compute, Activity::kJoin, 1);
    g.task(b.compute, Activity::kForward, 0);
    g.task(b.compute, Activity::kForward, 9'999'999, {received});
  }
  g.notes.memory.resize(2);
  g.notes.memory[0] = {{1, MemoryCategory::kParameters, 1000},
                       {1, MemoryCategory::kActivations, 500},
                       {9, MemoryCategory::kActivations, -500}};
  g.run();
  return g;
}

// A time in the file as whole picoseconds.
std::int64_t picoseconds(const json& microseconds) {
  return std::llround(microseconds.get<double>() * 1e6);
}

struct Trace {
  ReportGraph graph = pipeline();
  std::string text = chrome_trace(graph.graph, graph.timeline, graph.notes);
  json root = json::parse(text);

  std::vector<json> events(const std::string& phase) const {
    std::vector<json> found;
    for (const json& event : root.at("traceEvents")) {
      if (event.at("ph") == phase) found.push_back(event);
    }
    return found;
  }
};

}  // namespace

TEST_CASE("a trace is an object with events and a unit", "[golden][trace]") {
  const Trace trace;
  CHECK(trace.root.at("displayTimeUnit") == "ms");
  CHECK(trace.root.at("traceEvents").is_array());
  const std::set<std::string> known{"M", "X", "s", "f", "C"};
  for (const json& event : trace.root.at("traceEvents")) {
    REQUIRE(known.count(event.at("ph").get<std::string>()) == 1);
    REQUIRE(event.at("pid").is_number_integer());
    if (event.at("ph") != "M") REQUIRE(event.at("ts").is_number());
  }
}

TEST_CASE("slices of a thread do not overlap and are the timeline's", "[golden][trace]") {
  const Trace trace;
  std::map<std::pair<int, int>, std::vector<std::pair<std::int64_t, std::int64_t>>> threads;
  std::vector<std::tuple<std::int64_t, std::int64_t>> drawn;
  for (const json& e : trace.events("X")) {
    const std::int64_t start = picoseconds(e.at("ts"));
    const std::int64_t duration = picoseconds(e.at("dur"));
    CHECK(duration > 0);
    threads[{e.at("pid"), e.at("tid")}].emplace_back(start, start + duration);
    drawn.emplace_back(start, start + duration);
  }
  CHECK(threads.size() == 5);  // two compute, two communication, one host
  for (auto& [thread, slices] : threads) {
    INFO("pid " << thread.first << " tid " << thread.second);
    std::sort(slices.begin(), slices.end());
    for (std::size_t i = 1; i < slices.size(); ++i) {
      REQUIRE(slices[i - 1].second <= slices[i].first);
    }
  }
  std::vector<std::tuple<std::int64_t, std::int64_t>> expected;
  const ReportGraph& g = trace.graph;
  for (TaskId t = 0; t < g.graph.size(); ++t) {
    if (g.notes.tasks[t].activity == Activity::kJoin) continue;
    if (g.timeline.duration(t).ps == 0) continue;
    expected.emplace_back(g.timeline.start[t].ps, g.timeline.end[t].ps);
  }
  std::sort(drawn.begin(), drawn.end());
  std::sort(expected.begin(), expected.end());
  CHECK(drawn == expected);
}

TEST_CASE("slices say what they are", "[golden][trace]") {
  const Trace trace;
  const auto slices = trace.events("X");
  const auto of = [&](int pid, const std::string& category) {
    return *std::find_if(slices.begin(), slices.end(), [&](const json& e) {
      return e.at("pid") == pid && e.at("cat") == category;
    });
  };
  const json kernel = of(0, "kernel");
  CHECK(kernel.at("name") == "gemm \"256x128\"\n");
  CHECK(kernel.at("args").at("operator") == "layer 0 mlp");
  CHECK(kernel.at("args").at("micro_batch") == 0);
  CHECK(kernel.at("args").at("chunk") == 0);
  CHECK(of(0, "cpu_op").at("tid") == 1);
  const json receive = of(3, "communication");
  CHECK(receive.at("args").at("group") == "pp");
  CHECK(receive.at("args").at("bytes") == 4096);
}

TEST_CASE("every process and thread is named and sorted", "[golden][trace]") {
  const Trace trace;
  std::set<std::tuple<std::string, int, int>> metadata;
  std::map<int, std::string> processes;
  for (const json& e : trace.events("M")) {
    metadata.emplace(e.at("name"), e.at("pid"), e.value("tid", 0));
    if (e.at("name") == "process_name") processes[e.at("pid")] = e.at("args").at("name");
  }
  for (const json& e : trace.events("X")) {
    const int pid = e.at("pid");
    const int tid = e.at("tid");
    for (const char* kind : {"process_name", "process_sort_index", "process_labels"}) {
      REQUIRE(metadata.count({kind, pid, 0}) == 1);
    }
    for (const char* kind : {"thread_name", "thread_sort_index"}) {
      REQUIRE(metadata.count({kind, pid, tid}) == 1);
    }
  }
  CHECK(processes == std::map<int, std::string>{{0, "rank 0"}, {3, "rank 3"}});
}

TEST_CASE("arrows go forward from inside a send to inside its receive", "[golden][trace]") {
  const Trace trace;
  const auto starts = trace.events("s");
  const auto finishes = trace.events("f");
  REQUIRE(starts.size() == 50);
  REQUIRE(finishes.size() == 50);
  const auto slices = trace.events("X");
  const auto inside = [&](const json& end) {
    const std::int64_t at = picoseconds(end.at("ts"));
    return std::any_of(slices.begin(), slices.end(), [&](const json& e) {
      return e.at("pid") == end.at("pid") && e.at("tid") == end.at("tid") &&
             picoseconds(e.at("ts")) <= at &&
             at < picoseconds(e.at("ts")) + picoseconds(e.at("dur"));
    });
  };
  std::map<int, json> by_id;
  for (const json& s : starts) {
    REQUIRE(by_id.emplace(s.at("id").get<int>(), s).second);
    REQUIRE(inside(s));
  }
  for (const json& f : finishes) {
    REQUIRE(f.at("bp") == "e");
    REQUIRE(inside(f));
    const json& s = by_id.at(f.at("id").get<int>());
    REQUIRE(s.at("name") == f.at("name"));
    REQUIRE(s.at("cat") == f.at("cat"));
    REQUIRE(picoseconds(s.at("ts")) <= picoseconds(f.at("ts")));
    REQUIRE(s.at("pid") != f.at("pid"));
  }
}

TEST_CASE("the memory counter has every category and does not go back in time", "[golden][trace]") {
  const Trace trace;
  const auto counters = trace.events("C");
  REQUIRE(counters.size() == 3);
  std::int64_t before = 0;
  for (const json& e : counters) {
    CHECK(e.at("name") == "memory");
    CHECK(e.at("pid") == 0);
    CHECK(e.at("args").size() == kMemoryCategories);
    CHECK(picoseconds(e.at("ts")) >= before);
    before = picoseconds(e.at("ts"));
  }
  CHECK(counters[1].at("args").at("activations") == 500);
  CHECK(counters[2].at("args").at("activations") == 0);
  CHECK(counters[2].at("args").at("parameters") == 1000);
}

TEST_CASE("times are written to the picosecond", "[golden][trace]") {
  const Trace trace;
  // The first kernel waits for 1,234,567 ps of host work and runs for 7,654,321 ps.
  CHECK(trace.text.find("\"ts\":1.234567,\"dur\":7.654321,") != std::string::npos);
}
