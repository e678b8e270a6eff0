#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O48. ZeRO-Offload (Ren et al. 2021): with Psi parameters in 16 bits, gradients of 2 Psi bytes go
// to the host and parameters of 2 Psi bytes come back, once a step, whatever its micro-batches are;
// cut over N data-parallel ranks, 2 Psi / N each way. Gradients leave as backward makes them, and
// the last of them no earlier than backward ends; parameters come back after the last has left, as
// backward may read any of them. On a link of B bytes a second that is slow beside computing
//   step = 2 Psi / B + 2 Psi / B
// and on one that is not, backward hides all but the last unit's gradients.

using namespace rehearse;
using namespace rehearse::test;

namespace {

Simulation run(const std::string& link, const std::string& offload, int gpus = 1, int zero = 0,
               int batches = 1) {
  const std::string text = fmt::format(
      "model: {}\n"
      "cluster:\n"
      "  gpu: {{architecture: none, sm_count: 1, boost_clock_mhz: 1000, peak: {{bf16: 1 "
      "TFLOP/s}},\n"
      "        memory: 1000 TB, memory_bandwidth: inf, host_link: {{bandwidth: {}}}}}\n"
      "  gpus_per_node: {}\n"
      "  intra_node: {{type: nvswitch, bandwidth: inf, latency: 0 us}}\n"
      "training: {{causal: false, attention: unfused, precision: bf16, {}}}\n"
      "plan: {{offload: [{}], zero_stage: {}}}\n"
      "runtime: {{name: pytorch-eager, behaviour: {{allocation_granularity: 1 B}}}}\n",
      tiny_model(8, 64), link, gpus, micro_batches(batches, gpus), offload, zero);
  return simulate_text(text);
}

std::int64_t copied(const Simulation& s, const char* direction) {
  return communicated(s, "copy", direction).payload;
}

}  // namespace

TEST_CASE("o48: gradients of 2 Psi bytes go down, parameters of 2 Psi come up, once a step") {
  for (const int batches : {1, 3}) {
    const Simulation s = run("1 GB/s", "optimizer", 1, 0, batches);
    CHECK(copied(s, "to_host") == 2 * s.report.parameters);
    CHECK(copied(s, "from_host") == 2 * s.report.parameters);
    CHECK(s.program.ranks.front().optimizer_states.value == 0);
  }
}

TEST_CASE("o48: data-parallel ranks carry a share each under ZeRO 2") {
  const int n = 4;
  const Simulation s = run("1 GB/s", "optimizer", n, 2);
  const std::int64_t share = 2 * s.report.parameters / n;
  // Each of the nine groups of parameters is padded to whole shares.
  CHECK(copied(s, "to_host") >= share);
  CHECK(copied(s, "to_host") <= share + 2 * 9);
  CHECK(copied(s, "from_host") == copied(s, "to_host"));
}

TEST_CASE("o48: a slow link is what the step takes, both ways one after the other") {
  const Simulation s = run("1 MB/s", "optimizer");
  const double psi = static_cast<double>(s.report.parameters);
  const double compute = run("inf", "").report.step_time.value;
  const double step = s.report.step_time.value;
  CHECK(step >= 4 * psi / 1e6);
  CHECK(step <= 4 * psi / 1e6 + compute);
}

TEST_CASE("o48: backward hides gradients on their way to the host") {
  const Simulation plain = run("inf", ""), s = run("10 GB/s", "optimizer");
  const double psi = static_cast<double>(s.report.parameters);
  const double hidden = plain.report.step_time.value + 4 * psi / 1e10 - s.report.step_time.value;
  CHECK(hidden > 0.7 * 2 * psi / 1e10);
}

TEST_CASE("parameters on the host come up for forward and for backward, gradients go down") {
  const Simulation s = run("1 GB/s", "parameters", 1, 3);
  const std::int64_t psi = s.report.parameters, root = 64 + 64;  // a row of the table, a norm
  CHECK(copied(s, "to_host") == 2 * psi);
  CHECK(copied(s, "from_host") <= 4 * psi);
  CHECK(copied(s, "from_host") >= 4 * psi - 2 * root);
  CHECK(s.program.ranks.front().parameters.value == 0);
  CHECK(s.program.ranks.front().optimizer_states.value == 0);
}

TEST_CASE("activations on the host leave once and come back once") {
  const Simulation s = run("100 GB/s", "activations"), plain = run("inf", "");
  CHECK(copied(s, "to_host") > 0);
  CHECK(copied(s, "to_host") == copied(s, "from_host"));
  // Of eight layers one computes, one is on its way, and the last stays.
  CHECK(live_activations(s, 0) < live_activations(plain, 0) / 2);
}
