#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "tests/oracle/ideal.hpp"

// Messages under way are delays on no stream: a trace draws each of them, on threads where none
// overlaps another, with an arrow from its send.

using namespace rehearse;
using namespace rehearse::test;

TEST_CASE("a trace draws every arriving message, none over another", "[report][trace]") {
  constexpr int kMicroBatches = 6;
  Ideal ideal;
  ideal.model = tiny_model(2);
  ideal.gpus = 2;
  ideal.link = "bandwidth: 100 GB/s, latency: 1 ms";  // far longer than a forward
  ideal.training = micro_batches(kMicroBatches);
  ideal.plan = "pipeline_parallel: 2, schedule: gpipe";
  const Simulation s = simulate(ideal);
  const auto trace =
      nlohmann::json::parse(chrome_trace(s.lowered.graph, s.timeline, s.lowered.notes));

  std::map<std::pair<int, int>, std::vector<std::pair<double, double>>> by_thread;
  std::map<std::string, int> arrows;
  int receives = 0;
  for (const auto& event : trace.at("traceEvents")) {
    const std::string phase = event.at("ph");
    if (phase == "s" || phase == "f") ++arrows[phase];
    if (phase != "X") continue;
    receives += event.at("name") == "nccl receive";
    const double start = event.at("ts");
    by_thread[{event.at("pid"), event.at("tid")}].emplace_back(
        start, start + event.at("dur").get<double>());
  }
  const int messages = 2 * kMicroBatches * 2;  // two ways, two steps
  CHECK(receives == messages);
  CHECK(arrows["s"] == messages);
  CHECK(arrows["f"] == messages);
  for (auto& [thread, slices] : by_thread) {
    std::sort(slices.begin(), slices.end());
    for (std::size_t i = 1; i < slices.size(); ++i)
      CHECK(slices[i].first >= slices[i - 1].second - 1e-6);
  }
}
