// Ranks of a context- or tensor-parallel group do the same: simulating one of them, or all, or a
// task a kernel instead of a task a segment, gives the same step to the picosecond.

#include <catch2/catch.hpp>
#include <string>

#include "sim/config/scenario.hpp"
#include "sim/config/value.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

Seconds step(const std::string& plan, const std::string& runtime, bool fold, bool merge,
             const std::string& cluster = "{name: dgx-h100, nodes: 1, gpus_per_node: 4}") {
  const std::string text =
      "model: {name: llama3.2-1b, num_hidden_layers: 2}\n"
      "cluster: " +
      cluster +
      "\n"
      "training: {sequence_length: 2048, micro_batch_size: 1, global_batch_size: 4, precision: "
      "mixed}\n"
      "plan: {" +
      plan + "}\nruntime: " + runtime + "\n";
  SimulationOptions options;
  options.fold = fold;
  options.merge = merge;
  return simulate(read_scenarios(parse_text(text, "test"), "test").front(), options)
      .report.step_time;
}

TEST_CASE("context and tensor parallelism: folded is unfolded, merged is not merged") {
  const std::string plan =
      GENERATE(as<std::string>{}, "context_parallel: 4",
               "context_parallel: 4, context_parallel_method: all_gather",
               "context_parallel: 4, context_parallel_method: ulysses, zero_stage: 1",
               "context_parallel: 2, tensor_parallel: 2, sequence_parallel: true",
               "context_parallel: 2, context_parallel_method: ulysses, tensor_parallel: 2",
               "context_parallel: 2, context_parallel_method: all_gather, zero_stage: 3",
               "context_parallel: 2, pipeline_parallel: 2",
               "tensor_parallel: 4, sequence_parallel: true", "tensor_parallel: 2, zero_stage: 1");
  const std::string runtime =
      GENERATE(as<std::string>{}, "pytorch-eager", "pytorch-compile", "megatron");
  INFO(runtime << ": " << plan);
  const Seconds folded = step(plan, runtime, true, true);
  CHECK(folded.value > 0);
  CHECK(step(plan, runtime, false, true).value == folded.value);
  CHECK(step(plan, runtime, true, false).value == folded.value);
  CHECK(step(plan, runtime, false, false).value == folded.value);
}

// Where a kernel and the communication beside it slow each other, every end is rounded up to a
// picosecond, so folding and merging agree within one a kernel.
TEST_CASE("context and tensor parallelism: interference inside segments") {
  const std::string plan = GENERATE(
      as<std::string>{}, "context_parallel: 4", "tensor_parallel: 4, sequence_parallel: true",
      "context_parallel: 2, tensor_parallel: 2, sequence_parallel: true");
  INFO(plan);
  const Seconds folded = step(plan, "megatron", true, true, "h200-4");
  CHECK(step(plan, "megatron", false, true, "h200-4").value == Approx(folded.value).epsilon(1e-7));
  CHECK(step(plan, "megatron", true, false, "h200-4").value == Approx(folded.value).epsilon(1e-7));
}

}  // namespace
}  // namespace rehearse
