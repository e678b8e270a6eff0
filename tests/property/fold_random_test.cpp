// Folding: ranks that do the same are simulated once, and that changes nothing that is reported.
//
// Ranks that meet inside a segment are unfolded kernel by kernel, so runs are compared with a task
// a kernel on both sides. Merged segments agree to the picosecond too where nothing slows
// overlapping work; where communication slows compute, a merged segment is slowed as a whole, its
// waits for the host included, which moved a step by at most 2e-5 of its length over 200 random
// plans.

#include <catch2/catch.hpp>

#include "tests/property/plans.hpp"

namespace rehearse {
namespace {

constexpr double kMergedTolerance = 1e-4;

void check_fold(const PlanText& plan, bool ideal = false) {
  INFO(plan.text());
  const Scenario s = plan.scenario();
  SimulationOptions folded, unfolded;
  folded.ideal = unfolded.ideal = ideal;
  folded.merge = unfolded.merge = false;
  unfolded.fold = false;
  const Simulation a = simulate(s, folded), b = simulate(s, unfolded);
  REQUIRE(static_cast<int>(b.program.ranks.size()) == b.plan.ranks());
  CHECK(a.timeline.makespan == b.timeline.makespan);
  CHECK(a.report.step_time.value == b.report.step_time.value);
  CHECK(a.report.peak_memory == b.report.peak_memory);
  CHECK(a.report.peak_reserved == b.report.peak_reserved);
  for (const StageReport& stage : a.report.stages)
    for (const StageReport& other : b.report.stages)
      if (stage.pipeline_stage == other.pipeline_stage)
        CHECK(stage.peak_memory == other.peak_memory);
}

TEST_CASE("folded and unfolded runs of random plans agree to the picosecond and the byte") {
  PlanSource plans(20240611);
  for (int i = 0; i < 80; ++i) check_fold(plans.next());
}

TEST_CASE("folded and unfolded runs of merged segments agree") {
  PlanSource plans(11);
  for (int i = 0; i < 60; ++i) {
    const PlanText plan = plans.next();
    INFO(plan.text());
    const Scenario s = plan.scenario();
    SimulationOptions folded, unfolded;
    unfolded.fold = false;
    CHECK(simulate(s, folded).report.step_time.value ==
          Approx(simulate(s, unfolded).report.step_time.value).epsilon(kMergedTolerance));
    folded.ideal = unfolded.ideal = true;
    CHECK(simulate(s, folded).timeline.makespan == simulate(s, unfolded).timeline.makespan);
  }
}

TEST_CASE("folding simulates one rank a pipeline stage") {
  PlanSource plans(7);
  for (int i = 0; i < 20; ++i) {
    const PlanText plan = plans.next();
    INFO(plan.text());
    const Simulation s = simulate(plan.scenario());
    CHECK(s.program.ranks.size() == static_cast<std::size_t>(plan.pipeline));
    int represented = 0;
    for (const RankProgram& r : s.program.ranks) represented += r.represents;
    CHECK(represented == s.plan.ranks());
  }
}

// Where GPUs share NICs, PCIe switches and sockets, messages of the ranks that are folded meet
// there.
TEST_CASE("folding is exact where ranks of a node share links") {
  const char* clusters[] = {
      "{name: dgx-a100, nodes: 2, gpus_per_node: 4, inter_node: {nics_per_node: 2, "
      "bandwidth: 500 Mb/s}}",
      "{name: dgx-h200, nodes: 4, gpus_per_node: 2, inter_node: {nics_per_node: 1, "
      "bandwidth: 500 Mb/s, oversubscription: 2}}",
      "{name: dgx-a100, gpus_per_node: 8, nodes: 1, intra_node: {type: pcie, bandwidth: 100 MB/s, "
      "gpus_per_switch: 2, gpus_per_socket: 4, socket_bandwidth: 80 MB/s}}"};
  PlanSource plans(5);
  int meet = 0;
  for (int i = 0; i < 75; ++i) {
    PlanText plan = plans.next();
    plan.cluster = clusters[i % 3];
    if (plan.precision == "fp8") plan.precision = "bf16";  // A100 has no fp8
    check_fold(plan);
    meet += simulate(plan.scenario()).lowered.graph.link_count() > 0;
  }
  CHECK(meet > 20);
}

// Twelve GPUs on three nodes of four, replicas of three neighbours: the first replica has a node
// for itself, and the second lies on two.
TEST_CASE("folding is exact where replicas lie differently on the nodes") {
  PlanText plan;
  plan.cluster = "{name: dgx-h200, nodes: 3, gpus_per_node: 4}";
  plan.model = kTinyLlama;
  plan.rank_order = "pp-tp-cp-dp";
  plan.pipeline = 3;
  plan.global_batch = 24;
  for (const char* sync : {"overlap", "end"})
    for (bool ideal : {false, true}) {
      plan.gradient_sync = sync;
      check_fold(plan, ideal);
    }
}

}  // namespace
}  // namespace rehearse
