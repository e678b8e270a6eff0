#include "strategies/live_tensors.hpp"

#include "strategies/memory.hpp"
#include "tests/unit/runtime_scenarios.hpp"

namespace rehearse {
namespace {

using S = runtime_test::RuntimeScenario;

S scenario(int gpus, const std::string& plan, const std::string& training,
           const std::string& runtime) {
  S s;
  s.gpus = gpus;
  s.plan = plan;
  s.training = training;
  s.runtime = runtime;
  s.batch = 8;
  return s;
}

TEST_CASE("the tensors alive at the peak are what the peak holds beside states") {
  const S scenarios[] = {
      scenario(1, "data_parallel: 1", "precision: amp", "pytorch-eager"),
      scenario(2, "zero_stage: 3", "precision: fsdp-mixed, recompute: full", "pytorch-eager"),
      scenario(2, "data_parallel: 2", "precision: bf16", "pytorch-eager"),
      scenario(4, "pipeline_parallel: 4, data_parallel: 1", "precision: bf16", "pytorch-eager"),
      scenario(4, "pipeline_parallel: 2, virtual_stages: 2, tensor_parallel: 2", "precision: mixed",
               "megatron"),
  };
  for (const S& wanted : scenarios) {
    const Simulation s = wanted.run();
    for (const RankProgram& rank : s.program.ranks) {
      Bytes alive = rank.parameters + rank.persistent_gradients + rank.optimizer_states +
                    rank.cache + rank.buffers;
      for (const LiveTensors& t : live_at_peak(s.program, rank)) alive += t.bytes;
      CHECK(alive == rank_memory(s.program, rank, false).peak);
    }
  }
}

TEST_CASE("tensors at the peak are told by name, largest first") {
  S one;
  one.batch = 1;
  const Simulation s = one.run();
  const std::vector<LiveTensors> tensors = live_at_peak(s.program, s.program.ranks.front());
  REQUIRE(tensors.size() > 2);
  CHECK(
      std::is_sorted(tensors.begin(), tensors.end(),
                     [](const LiveTensors& a, const LiveTensors& b) { return a.bytes > b.bytes; }));
  const auto up = std::find_if(tensors.begin(), tensors.end(),
                               [](const LiveTensors& t) { return t.name == "up_out"; });
  REQUIRE(up != tensors.end());
  CHECK(up->category == MemoryCategory::kActivations);
  CHECK(up->count == S::kLayers);
  CHECK(up->bytes.value == S::kLayers * 2 * S::kLength * 2 * S::kInner);
}

}  // namespace
}  // namespace rehearse
