#include <catch2/catch.hpp>
#include <random>

#include "sim/report/step_walk.hpp"
#include "tests/unit/report_fixture.hpp"

using namespace rehearse;
using rehearse::test::ReportGraph;

namespace {

int pick(std::mt19937& random, int below) {
  return static_cast<int>(random() % static_cast<unsigned>(below));
}

void add_random_task(ReportGraph& g, std::mt19937& random,
                     const std::vector<ReportGraph::Device>& devices) {
  const auto& d = devices[static_cast<std::size_t>(pick(random, static_cast<int>(devices.size())))];
  const std::int64_t ps = pick(random, 4) == 0 ? 0 : pick(random, 100);
  TaskId t = 0;
  switch (pick(random, 8)) {
    case 0:
      t = g.task(d.host, Activity::kHost, ps);
      break;
    case 1:
      t = g.communicate(d.communication, Activity::kCollective, ps, pick(random, 3));
      break;
    case 2:
      t = g.communicate(d.communication, Activity::kSend, ps, 2);
      break;
    case 3:
      t = g.communicate(d.communication, Activity::kReceive, ps, 2);
      break;
    case 4:
      t = g.task(pick(random, 4) == 0 ? d.compute : kNoStream, Activity::kJoin, ps);
      break;
    case 5:
      t = g.task(d.compute, Activity::kOptimizer, ps);
      break;
    case 6:
      t = g.task(d.compute, Activity::kForward, ps);
      g.notes.tasks[t].share = pick(random, 2);
      break;
    default:
      t = g.task(d.compute, Activity::kBackward, ps);
      break;
  }
  for (int edges = pick(random, 4); edges > 0 && t > 0; --edges) {
    const TaskId reach = std::min<TaskId>(t, 30);
    g.builder.add_edge(t - 1 - static_cast<TaskId>(pick(random, static_cast<int>(reach))), t);
  }
}

ReportGraph random_graph(std::uint32_t seed, bool interference) {
  std::mt19937 random(seed);
  ReportGraph g;
  std::vector<ReportGraph::Device> devices;
  const int count = 1 + pick(random, 4);
  for (int i = 0; i < count; ++i) devices.push_back(g.device(i, i));
  g.collective("all_gather", "dp", 100, 75);
  g.collective("all_reduce", "tp", 50, 75);
  g.collective("send_recv", "pp", 20, 20);
  SegmentShare share;
  share.parts_ps = {{Activity::kForward, 17}, {Activity::kCollective, 13}, {Activity::kHost, 3}};
  share.collectives = {{0, 2, 7}, {1, 1, 6}};
  g.notes.shares = {share, SegmentShare{{{Activity::kBackward, 90}}, {}}};
  if (interference) g.builder.set_interference(0.8, 0.7);
  for (g.step = 0; g.step < 2; ++g.step) {
    for (int i = 0; i < 150; ++i) add_random_task(g, random, devices);
    for (const auto& d : devices) g.task(d.compute, Activity::kOptimizer, 1);
  }
  g.step = 1;
  g.run();
  return g;
}

}  // namespace

TEST_CASE("the parts of a step add up to it to the picosecond", "[report][property]") {
  const bool interference = GENERATE(false, true);
  for (std::uint32_t seed = 0; seed < 150; ++seed) {
    const ReportGraph g = random_graph(seed, interference);
    INFO("seed " << seed << ", interference " << interference);
    // Any window of any device, not only the one that is reported.
    const StepWindow last = g.window();
    const SimTime middle((last.begin.ps + last.end.ps) / 2);
    for (std::uint32_t d = 0; d < g.notes.devices.size(); ++d) {
      for (const StepWindow& window :
           {StepWindow{d, last.begin, last.end}, StepWindow{d, SimTime(0), g.timeline.makespan},
            StepWindow{d, middle, last.end}, StepWindow{d, last.begin, middle}}) {
        const StepParts parts = step_account(g.graph, g.timeline, g.notes, window).parts;
        REQUIRE(parts.total() == window.end - window.begin);
        for (const SimTime part : {parts.compute, parts.exposed_communication,
                                   parts.pipeline_bubble, parts.host, parts.optimizer}) {
          REQUIRE(part.ps >= 0);
        }
      }
    }
  }
}

TEST_CASE("kinds of communication are not exposed for longer than all of them",
          "[report][property]") {
  for (std::uint32_t seed = 0; seed < 150; ++seed) {
    const ReportGraph g = random_graph(seed, false);
    INFO("seed " << seed);
    StepWalk walk(g.graph, g.timeline, g.notes, g.window());
    walk.run();
    std::int64_t exposed = 0;
    for (const std::int64_t ps : walk.exposed_ps()) {
      REQUIRE(ps >= 0);
      exposed += ps;
    }
    REQUIRE(exposed <= walk.parts().exposed_communication.ps);
  }
}

TEST_CASE("the critical path is a chain as long as the run", "[report][property]") {
  for (std::uint32_t seed = 0; seed < 150; ++seed) {
    const ReportGraph g = random_graph(seed, false);
    INFO("seed " << seed);
    const std::vector<TaskId> path = critical_path(g.graph, g.timeline);
    REQUIRE(!path.empty());
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < path.size(); ++i) {
      sum += g.timeline.duration(path[i]).ps;
      if (i > 0) REQUIRE(g.timeline.end[path[i - 1]] <= g.timeline.start[path[i]]);
    }
    // Nothing waits without cause when nothing interferes.
    REQUIRE(sum == g.timeline.makespan.ps);
  }
}

TEST_CASE("with interference the critical path is not longer than the run", "[report][property]") {
  for (std::uint32_t seed = 0; seed < 100; ++seed) {
    const ReportGraph g = random_graph(seed, true);
    INFO("seed " << seed);
    std::int64_t sum = 0;
    for (const TaskId t : critical_path(g.graph, g.timeline)) sum += g.timeline.duration(t).ps;
    REQUIRE(sum <= g.timeline.makespan.ps);
    REQUIRE(sum > 0);
  }
}

TEST_CASE("shares of a length add up to it", "[report][property]") {
  std::mt19937_64 random(7);
  for (int i = 0; i < 2000; ++i) {
    std::vector<std::int64_t> weights(1 + random() % 8);
    for (std::int64_t& w : weights) w = static_cast<std::int64_t>(random() % 1'000'000'000'000);
    weights.back() += 1;
    const auto length = static_cast<std::int64_t>(random() % 1'000'000'000'000'000);
    std::int64_t sum = 0;
    for (const std::int64_t share : apportion(length, weights)) {
      REQUIRE(share >= 0);
      sum += share;
    }
    REQUIRE(sum == length);
  }
}
