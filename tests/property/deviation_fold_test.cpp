// Folding around GPUs and links that are not like the others changes nothing.
//
// On idealised clusters the times agree to the picosecond. Where communication slows compute, a
// rank that waits for a slower one in its tensor-parallel group is slowed at other moments than it;
// over 60 random plans that moved no step by more than the tolerance.

#include <catch2/catch.hpp>

#include "tests/property/plans.hpp"

namespace rehearse {
namespace {

constexpr double kOverlapTolerance = 2e-3;

const std::vector<std::string>& deviations() {
  static const std::vector<std::string> lists{
      "{gpus: 5, speed: 0.8}",
      "{gpus: 0-7, speed: 0.9}, {gpus: 3, speed: 0.5}",
      "{gpus: 2, intra_node_bandwidth: 0.5}",
      "{nodes: 1, inter_node_bandwidth: 0.25}",
      "{nodes: 0, lost_nics: 1}, {gpus: 7, speed: 0.6}",
  };
  return lists;
}

PlanText with_deviation(PlanText plan, std::size_t i) {
  plan.cluster = "{name: dgx-h200, nodes: 2, gpus_per_node: 4, deviations: [" +
                 deviations()[i % deviations().size()] + "]}";
  return plan;
}

Simulation run(const PlanText& plan, bool fold, bool ideal) {
  SimulationOptions options;
  options.ideal = ideal;
  options.fold = fold;
  return simulate(plan.scenario(), options);
}

TEST_CASE("ranks around a deviation fold to the picosecond on idealised clusters") {
  PlanSource plans(77);
  for (std::size_t i = 0; i < 60; ++i) {
    const PlanText plan = with_deviation(plans.next(), i);
    INFO(plan.text());
    const Simulation folded = run(plan, true, true), unfolded = run(plan, false, true);
    CHECK(folded.timeline.makespan == unfolded.timeline.makespan);
    CHECK(folded.report.step_time.value == unfolded.report.step_time.value);
    CHECK(folded.report.peak_memory == unfolded.report.peak_memory);
    CHECK(folded.program.ranks.size() <= unfolded.program.ranks.size());
  }
}

// Slow ranks in different places of the tensor-parallel groups of two stages: a message may leave
// the one and reach the other early. One machine as slow as both never says too little.
TEST_CASE("several slow GPUs of one replica fold to a bound that is nearly reached") {
  PlanSource plans(80);
  for (int i = 0; i < 40; ++i) {
    PlanText plan = plans.next();
    plan.cluster =
        "{name: dgx-h200, nodes: 2, gpus_per_node: 4, deviations: [{gpus: [0, 6], speed: 0.5}, "
        "{gpus: 3, speed: 0.9}]}";
    INFO(plan.text());
    const double folded = run(plan, true, true).report.step_time.value;
    const double unfolded = run(plan, false, true).report.step_time.value;
    CHECK(folded >= unfolded);
    CHECK(folded == Approx(unfolded).epsilon(1e-3));
  }
}

TEST_CASE("ranks around a deviation fold closely on clusters as they are") {
  PlanSource plans(78);
  for (std::size_t i = 0; i < 60; ++i) {
    const PlanText plan = with_deviation(plans.next(), i);
    INFO(plan.text());
    CHECK(run(plan, true, false).report.step_time.value ==
          Approx(run(plan, false, false).report.step_time.value).epsilon(kOverlapTolerance));
  }
}

TEST_CASE("a deviation never makes a step faster") {
  PlanSource plans(79);
  for (std::size_t i = 0; i < 40; ++i) {
    PlanText plan = plans.next();
    plan.cluster = "{name: dgx-h200, nodes: 2, gpus_per_node: 4}";
    const PlanText slowed = with_deviation(plan, i);
    INFO(slowed.text());
    CHECK(run(slowed, true, true).report.step_time >= run(plan, true, true).report.step_time);
  }
}

}  // namespace
}  // namespace rehearse
