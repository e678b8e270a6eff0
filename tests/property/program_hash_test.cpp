// The two hashes of a run: the same for the same input, and each for what it stands for.

#include <catch2/catch.hpp>

#include "tests/property/plans.hpp"

namespace rehearse {
namespace {

struct Hashes {
  std::string structure, timing;
};
Hashes hashes(const PlanText& plan) {
  const auto run = simulate(plan.scenario()).report.simulation;
  return {run.structure_hash, run.timing_hash};
}

TEST_CASE("the same plan has the same hashes again") {
  PlanSource plans(99);
  for (int i = 0; i < 40; ++i) {
    const PlanText plan = plans.next();
    INFO(plan.text());
    const Hashes a = hashes(plan), b = hashes(plan);
    CHECK(a.structure == b.structure);
    CHECK(a.timing == b.timing);
  }
}

TEST_CASE("a changed bandwidth changes the timing hash alone") {
  PlanSource plans(100);
  int compared = 0;
  for (int i = 0; i < 60; ++i) {
    PlanText plan = plans.next();
    const bool communicates = simulate(plan.scenario()).report.communication.size() > 0;
    if (!communicates) continue;
    plan.cluster = "{name: dgx-h200, nodes: 1, collectives: null}";
    INFO(plan.text());
    const Hashes before = hashes(plan);
    plan.cluster =
        "{name: dgx-h200, nodes: 1, collectives: null, intra_node: {bandwidth: 123 GB/s}}";
    const Hashes after = hashes(plan);
    CHECK(before.structure == after.structure);
    CHECK(before.timing != after.timing);
    ++compared;
  }
  CHECK(compared > 30);
}

TEST_CASE("a changed plan changes both hashes") {
  PlanText plan;
  plan.pipeline = 2;
  const Hashes base = hashes(plan);
  const auto differs = [&](const PlanText& other) {
    INFO(other.text());
    const Hashes h = hashes(other);
    CHECK(h.structure != base.structure);
    CHECK(h.timing != base.timing);
  };
  PlanText other = plan;
  other.pipeline = 4;
  differs(other);
  other = plan;
  other.tensor = 2;
  differs(other);
  other = plan;
  other.zero = 3;
  differs(other);
  other = plan;
  other.schedule = "gpipe";
  differs(other);
  other = plan;
  other.gradient_sync = "end";
  differs(other);
  other = plan;
  other.global_batch = 32;
  differs(other);
}

}  // namespace
}  // namespace rehearse
