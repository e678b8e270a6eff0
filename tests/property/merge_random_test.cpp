// Merging: a run of segments that nothing outside can interrupt becomes one task, and that changes
// no time where overlapping work runs at full speed. Where communication slows compute, a merged
// segment is slowed as a whole, its waits for the host included: over 200 random plans that moved a
// run by at most 2e-5 of its length.

#include <catch2/catch.hpp>

#include "tests/property/plans.hpp"

namespace rehearse {
namespace {

// For a cluster's mapping.
constexpr const char* kNoInterference =
    ", gpu: {name: h200-sxm, efficiency: {overlap: {multiprocessors: 0, "
    "memory_slowdown: 1, communication_slowdown: {kernels: 1, memory: 1}, kernel_slowdown: 1}}}";
constexpr double kInterferenceTolerance = 1e-4;

TEST_CASE("merged and unmerged runs of random plans take the same time") {
  PlanSource plans(42);
  for (int i = 0; i < 80; ++i) {
    PlanText plan = plans.next();
    plan.cluster.insert(plan.cluster.size() - 1, kNoInterference);
    INFO(plan.text());
    const Scenario s = plan.scenario();
    SimulationOptions apart;
    apart.merge = false;
    const Simulation a = simulate(s), b = simulate(s, apart);
    CHECK(a.lowered.graph.size() <= b.lowered.graph.size());
    CHECK(a.timeline.makespan == b.timeline.makespan);
    CHECK(a.report.step_time.value == b.report.step_time.value);
  }
}

TEST_CASE("merged and unmerged runs with interference take nearly the same time") {
  PlanSource plans(42);
  for (int i = 0; i < 80; ++i) {
    const PlanText plan = plans.next();
    INFO(plan.text());
    const Scenario s = plan.scenario();
    SimulationOptions apart;
    apart.merge = false;
    CHECK(simulate(s).report.step_time.value ==
          Approx(simulate(s, apart).report.step_time.value).epsilon(kInterferenceTolerance));
  }
}

TEST_CASE("merged and unmerged runs without a host take the same time") {
  PlanSource plans(43);
  for (int i = 0; i < 40; ++i) {
    const PlanText plan = plans.next();
    INFO(plan.text());
    const Scenario s = plan.scenario();
    SimulationOptions together, apart;
    together.ideal = apart.ideal = true;
    apart.merge = false;
    CHECK(simulate(s, together).timeline.makespan == simulate(s, apart).timeline.makespan);
  }
}

TEST_CASE("communication adds up to the same whether merged or not") {
  PlanSource plans(44);
  for (int i = 0; i < 40; ++i) {
    const PlanText plan = plans.next();
    INFO(plan.text());
    const Scenario s = plan.scenario();
    SimulationOptions apart;
    apart.merge = false;
    const auto a = simulate(s).report.communication, b = simulate(s, apart).report.communication;
    REQUIRE(a.size() == b.size());
    for (std::size_t r = 0; r < a.size(); ++r) {
      INFO(a[r].operation << " over " << a[r].group);
      CHECK(a[r].operation == b[r].operation);
      CHECK(a[r].count == b[r].count);
      CHECK(a[r].payload == b[r].payload);
      CHECK(a[r].wire_bytes_per_rank == b[r].wire_bytes_per_rank);
    }
  }
}

}  // namespace
}  // namespace rehearse
