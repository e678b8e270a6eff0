// Steps whose transfers meet on links, walked in order of time, against graphs of them.

#include "strategies/timed_walk.hpp"

#include <catch2/catch.hpp>
#include <cstdint>
#include <span>
#include <string>

#include "strategies/build_program.hpp"
#include "strategies/network.hpp"
#include "strategies/step_clock.hpp"
#include "tests/property/plans.hpp"

namespace rehearse {
namespace {

// Hosts of two and eight GPUs whose NICs are slow enough for messages and gradients to meet, one
// with PCIe, and one large enough for tensor parallelism over hosts.
const std::string kClusters[] = {
    "{name: dgx-a100, nodes: 4, gpus_per_node: 2, inter_node: {nics_per_node: 1, bandwidth: 20 "
    "Gb/s}}",
    "{name: dgx-h100, nodes: 2, gpus_per_node: 4, inter_node: {nics_per_node: 2, bandwidth: 2 "
    "Gb/s}}",
    "{name: dgx-a100, nodes: 1}", "{name: dgx-h100, nodes: 4}"};

// Kernels and collectives slow each other.
const std::string kInterfering[] = {
    "{name: dgx-h200, nodes: 1}",
    "{name: dgx-h200, nodes: 4, gpus_per_node: 2, inter_node: {nics_per_node: 1, bandwidth: 20 "
    "Gb/s}}"};

struct Found {
  int all = 0, answered = 0, shorter = 0, met = 0;
};

void compare(const Scenario& s, Found& found) {
  const Model model = read_model(s.model);
  const Cluster cluster = read_cluster(s.cluster);
  const Runtime runtime = read_runtime(s.runtime);
  Program program;
  try {
    program = build_program(resolve_plan(s, model, cluster, runtime), model, cluster, runtime, {});
  } catch (const UserError&) {
    return;  // a combination that the runtime does not offer
  }
  const bool clock = clock_suffices(cluster);
  if (clock && !Network(program, cluster).may_meet()) return;
  if (!clock_knows(program)) return;
  Prices prices(program, cluster, Clocks::kSustained);
  const auto times = timed_step_times(program, cluster, {}, prices);
  ++found.all;
  if (!times) return;
  ++found.answered;
  const Lowered whole = lower(program, cluster, {});
  const StepWindow window = step_window(whole.graph, simulate(whole.graph), whole.notes);
  CHECK(times->begin == window.begin);
  CHECK(times->end == window.end);
  CHECK(times->device == window.device);
  found.shorter += 4 * times->tasks < whole.graph.size();
  if (!clock) return;
  Prices again(program, cluster, Clocks::kSustained);
  found.met += walked_step_times(program, cluster, {}, again).transfers_meet;
}

// Plans drawn from a seed, on clusters in turn.
Found compare_drawn(std::uint32_t seed, int draws, std::span<const std::string> clusters) {
  PlanSource plans(seed);
  Found found;
  for (int i = 0; i < draws; ++i) {
    PlanText plan = plans.next();
    plan.cluster = clusters[static_cast<std::size_t>(i) % clusters.size()];
    plan.runtime = i % 3 == 0 && plan.pipeline == 1 ? "pytorch-eager" : "megatron";
    plan.global_batch = plan.micro_batch * (i % 5 == 0 ? 96 : 16);
    INFO(plan.text());
    try {
      compare(plan.scenario(), found);
    } catch (const UserError&) {
      continue;
    }
  }
  return found;
}

TEST_CASE("a walk in order of time finds the times of the graph") {
  const Found found = compare_drawn(91, 240, kClusters);
  CHECK(found.all > 80);
  CHECK(found.answered == found.all);
  CHECK(found.met > 20);
}

TEST_CASE("a walk in order of time knows how kernels and collectives slow each other") {
  const Found found = compare_drawn(92, 180, kInterfering);
  CHECK(found.all > 80);
  CHECK(20 * found.answered > 19 * found.all);
  CHECK(found.shorter > 5);
}

TEST_CASE("a walk in order of time leaves out periods of a schedule, and finds the same times") {
  Found found;
  for (const int tensor : {1, 4, 8, 16})
    for (const int pipeline : {2, 4, 8})
      for (const char* schedule : {"gpipe", "1f1b", "interleaved-1f1b", "zb-h1"})
        for (const int micro_batches : {24, 72}) {
          PlanText plan;
          plan.cluster = "{name: dgx-a100, nodes: 16}";
          plan.runtime = "megatron";
          plan.model =
              "{model_type: gpt2, n_layer: 16, n_embd: 4096, n_head: 32, vocab_size: 2048, "
              "n_positions: 2048}";
          plan.schedule = schedule;
          plan.tensor = tensor;
          plan.sequence_parallel = tensor > 1;
          plan.pipeline = pipeline;
          plan.precision = "mixed";
          plan.virtual_stages = plan.schedule == "interleaved-1f1b" ? 2 : 1;
          plan.zero = micro_batches == 24 ? 0 : 1;
          plan.global_batch = micro_batches * 128 / tensor / pipeline;
          INFO(plan.text());
          Scenario s = plan.scenario();
          s.training.sequence_length = pipeline == 4 ? 128 : 2048;
          compare(s, found);
        }
  CHECK(found.all > 80);
  CHECK(found.answered == found.all);
  CHECK(found.met > 40);
  CHECK(found.shorter > 20);
}

// Pipelines of a few layers, whose messages meet tensor-parallel collectives or kernels. The later
// stages have `more` layers than the others: then they end a step last, and beside the next.
Scenario last_step(const std::string& cluster, const char* schedule, int zero, int more) {
  PlanText plan;
  plan.cluster = cluster;
  plan.runtime = "megatron";
  plan.model =
      "{model_type: gpt2, n_layer: 8, n_embd: 4096, n_head: 32, vocab_size: 2048, n_positions: "
      "2048}";
  plan.schedule = schedule;
  plan.tensor = 8;
  plan.sequence_parallel = true;
  plan.pipeline = 2;
  plan.precision = "mixed";
  plan.virtual_stages = plan.schedule == "interleaved-1f1b" ? 2 : 1;
  plan.zero = zero;
  plan.global_batch = 128 / plan.tensor / plan.pipeline * 12;
  Scenario s = plan.scenario();
  if (more == 0) return s;
  s.plan.stage_layers = {4 - more, 4 + more};
  if (plan.virtual_stages == 2) s.plan.stage_layers = {1, 1, 2, 4};
  return s;
}

// Two steps take hardly longer to walk than one.
bool leaves_out_last_step(const Scenario& s) {
  const Model model = read_model(s.model);
  const Cluster cluster = read_cluster(s.cluster);
  const Runtime runtime = read_runtime(s.runtime);
  const Program program =
      build_program(resolve_plan(s, model, cluster, runtime), model, cluster, runtime, {});
  Prices prices(program, cluster, Clocks::kSustained);
  LowerOptions options;
  const auto walked = [&](int steps) {
    options.steps = steps;
    const auto times = timed_step_times(program, cluster, options, prices);
    REQUIRE(times);
    return *times;
  };
  for (const int steps : {2, 3}) {
    const StepTimes times = walked(steps);
    const Lowered whole = lower(program, cluster, options);
    const StepWindow window = step_window(whole.graph, simulate(whole.graph), whole.notes);
    CHECK(times.begin.ps == window.begin.ps);
    CHECK(times.end.ps == window.end.ps);
    CHECK(times.device == window.device);
  }
  return 4 * walked(2).tasks < 6 * walked(1).tasks;
}

TEST_CASE("a walk in order of time leaves out a last step that goes as the one before") {
  int left_out = 0, all = 0;
  for (const char* cluster :
       {"{name: dgx-a100, nodes: 32, gpus_per_node: 4}", "{name: dgx-h200, nodes: 16}",
        "{name: dgx-a100, nodes: 32, gpus_per_node: 4, inter_node: {nics_per_node: 1, bandwidth: "
        "20 Gb/s}}"})
    for (const char* schedule : {"gpipe", "1f1b", "interleaved-1f1b"})
      for (const int zero : {0, 1})
        for (const int more : {0, 1, 3})
          for (const int length : {128, 512, 2048}) {
            Scenario s = last_step(cluster, schedule, zero, more);
            s.training.sequence_length = length;
            INFO(cluster << " " << schedule << " " << zero << " " << more << " " << length);
            ++all;
            left_out += leaves_out_last_step(s);
          }
  CHECK(2 * left_out > all);
  CHECK(left_out < all);
}

}  // namespace
}  // namespace rehearse
