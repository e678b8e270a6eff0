// evaluate() and bound() against simulate(), and the walk by clock against the graph.

#include <catch2/catch.hpp>

#include "strategies/build_program.hpp"
#include "strategies/network.hpp"
#include "strategies/priced_segment.hpp"
#include "strategies/step_clock.hpp"
#include "tests/property/plans.hpp"
#include "tools/cli/evaluate.hpp"

namespace rehearse {
namespace {

// Both kinds of cluster: where work slows other work a graph is needed, else a clock suffices.
std::string cluster_of(int i) {
  return i % 3 == 0 ? "{name: dgx-h200, nodes: 1}" : "{name: dgx-h100, nodes: 1}";
}

TEST_CASE("evaluate() says what a run says, whatever was evaluated before") {
  PlanSource plans(71);
  EvaluationCache cache;
  for (int i = 0; i < 60; ++i) {
    PlanText plan = plans.next();
    plan.cluster = cluster_of(i);
    INFO(plan.text());
    const Scenario s = plan.scenario();
    const RunReport run = simulate(s).report;
    const Evaluation e = evaluate(s, cache);
    CHECK(e.step_time.value == run.step_time.value);
    CHECK(e.hfu == run.hfu);
    CHECK(e.peak_memory == run.peak_memory);
    CHECK(e.peak_reserved == run.peak_reserved);
    CHECK(e.fits == run.fits);
    CHECK(evaluate(s, cache, {false}).peak_reserved == run.peak_memory);
  }
}

TEST_CASE("no run is faster or smaller than its bound") {
  PlanSource plans(72);
  EvaluationCache cache;
  for (int i = 0; i < 200; ++i) {
    PlanText plan = plans.next();
    plan.cluster = cluster_of(i);
    plan.runtime = i % 2 == 0 ? "megatron" : "pytorch-eager";
    plan.global_batch = plan.micro_batch * (i % 5 == 0 ? 64 : 16);
    INFO(plan.text());
    const Scenario s = plan.scenario();
    try {
      const EvaluationBound b = bound(s, cache), closer = closer_bound(s, cache);
      const Evaluation e = evaluate(s, cache, {false});
      CHECK(b.step_time.value <= closer.step_time.value);
      CHECK(closer.step_time.value <= e.step_time.value);
      CHECK(closer.memory <= e.peak_memory);
      CHECK((closer.may_fit || !e.fits));
      CHECK(b.step_time.value > 0);
      CHECK(b.memory <= e.peak_memory);
      CHECK((b.may_fit || !e.fits));
    } catch (const UserError&) {
      continue;  // a combination that this runtime does not offer
    }
  }
}

TEST_CASE("bounds of large pipelines are bounds, and not far from what is simulated") {
  EvaluationCache cache;
  for (const int pipeline : {4, 8, 16})
    for (const int chunks : {1, 2, 3})
      for (const int micro_batches : {16, 48, 96}) {
        PlanText plan;
        plan.model = "gpt3-175b";
        plan.cluster = "{name: dgx-a100, nodes: " + std::to_string(pipeline) + "}";
        plan.runtime = "megatron";
        plan.recompute = "full";
        plan.tensor = 8;
        plan.sequence_parallel = true;
        plan.pipeline = pipeline;
        plan.virtual_stages = chunks;
        plan.schedule = chunks > 1 ? "interleaved-1f1b" : "1f1b";
        plan.global_batch = micro_batches;
        INFO(plan.text());
        Scenario s = plan.scenario();
        s.training.sequence_length = 2048;
        const EvaluationBound b = bound(s, cache);
        const Evaluation e = evaluate(s, cache, {false});
        CHECK(b.step_time.value <= e.step_time.value);
        CHECK(b.step_time.value > 0.6 * e.step_time.value);
        CHECK(b.memory <= e.peak_memory);
        CHECK(b.memory.value > e.peak_memory.value / 2);
      }
}

// Where no transfers meet, prices alone and transfers over links are the same, to the picosecond;
// where they meet the step cannot be shorter.
TEST_CASE("a clock finds the times of the graph, folded or not") {
  PlanSource plans(73);
  int meet = 0, alone = 0;
  for (int i = 0; i < 60; ++i) {
    PlanText text = plans.next();
    text.cluster = i % 2 == 0 ? "{name: dgx-a100, nodes: 1}"
                              : "{name: dgx-a100, nodes: 4, gpus_per_node: 2, inter_node: "
                                "{nics_per_node: 1, bandwidth: 200 Mb/s}}";
    if (text.precision == "fp8") text.precision = "bf16";  // A100 has no fp8
    INFO(text.text());
    const Scenario s = text.scenario();
    const Model model = read_model(s.model);
    const Cluster cluster = read_cluster(s.cluster);
    const Runtime runtime = read_runtime(s.runtime);
    const ResolvedPlan plan = resolve_plan(s, model, cluster, runtime);
    for (const bool fold : {true, false}) {
      const Program program = build_program(plan, model, cluster, runtime, {fold, false});
      const Lowered lowered = lower(program, cluster, {});
      const StepWindow window = step_window(lowered.graph, simulate(lowered.graph), lowered.notes);
      Prices prices(program, cluster, Clocks::kSustained);
      const bool clock = clock_knows(program) && !Network(program, cluster).may_meet();
      const StepTimes times = clock ? unhindered_step_times(program, cluster, {}, prices)
                                    : walked_step_times(program, cluster, {}, prices);
      CHECK(times.tasks == lowered.graph.size());
      if (times.transfers_meet) {
        ++meet;
        CHECK(window.end >= times.end);
        continue;
      }
      ++alone;
      CHECK(times.begin == window.begin);
      CHECK(times.end == window.end);
      CHECK(program.ranks[times.device].rank == lowered.notes.devices[window.device].rank);
    }
  }
  CHECK(meet > 5);
  CHECK(alone > 20);
}

}  // namespace
}  // namespace rehearse
