#include "tools/cli/evidence.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "sim/config/scenario.hpp"
#include "tools/cli/interval.hpp"

namespace rehearse {
namespace {

Simulation simulated(const std::string& cluster, int sequence = 4096) {
  const std::string text = "model: llama3.2-1b\ncluster: " + cluster +
                           "\ntraining: {sequence_length: " + std::to_string(sequence) +
                           ", micro_batch_size: 1, global_batch_size: 16}\n";
  return simulate(read_scenarios(parse_text(text, "scenario.yaml"), "test").front());
}

double half_width(const Simulation& s) {
  const Interval i = step_interval(s);
  return (i.high - i.low).value / (2 * s.report.step_time.value);
}

bool mentions(const Simulation& s, const std::string& what, const std::string& source) {
  return std::any_of(
      s.report.transfers.begin(), s.report.transfers.end(), [&](const CarriedOver& t) {
        return t.what.find(what) != t.what.npos && t.source.find(source) != t.source.npos;
      });
}

TEST_CASE("a step on GPUs that were calibrated rests on no transfer") {
  CHECK(simulated("h200-4").report.transfers.empty());
}

TEST_CASE("a step elsewhere names the classes of kernels and the links that were not measured") {
  const Simulation a100 = simulated("{name: dgx-a100, nodes: 2}");
  CHECK(mentions(a100, "kernels bound by memory", "transferred from h200-sxm"));
  CHECK(mentions(a100, "links between nodes", "not measured"));
  CHECK(mentions(a100, "attention, backward", "backward at"));
  CHECK(mentions(a100, "kernels beside collectives", "not measured on a100-sxm"));
  for (const CarriedOver& t : a100.report.transfers) CHECK((t.share >= 0 && t.share <= 1));
}

TEST_CASE("intervals widen where kernels are transferred or far from what was measured") {
  const double here = half_width(simulated("h200-4"));
  CHECK(half_width(simulated("dgx-a100")) > here);
  CHECK(half_width(simulated("h200-4", 1 << 19)) > 1.5 * here);
}

// A host that takes 1.8 times as long (interval.cpp) takes as much longer for a step that it
// bounds, and hides behind one that the GPU bounds.
TEST_CASE("intervals of steps that the host bounds reach to a slow host's") {
  const Simulation host = simulated("h200-1", 128);
  const Interval of_host = step_interval(host);
  CHECK(of_host.high > 1.6 * host.report.step_time);
  CHECK(of_host.high - host.report.step_time > host.report.step_time - of_host.low);
  const Simulation gpu = simulated("h200-1", 8192);
  const Interval of_gpu = step_interval(gpu);
  CHECK_THAT((of_gpu.high - gpu.report.step_time).value,
             Catch::WithinRel((gpu.report.step_time - of_gpu.low).value, 1e-9));
}

}  // namespace
}  // namespace rehearse
