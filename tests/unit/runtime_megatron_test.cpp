#include "tests/unit/runtime_scenarios.hpp"

namespace rehearse {
namespace {

using namespace runtime_test;
using S = RuntimeScenario;

constexpr std::int64_t kTokens = S::kLength;
constexpr std::int64_t kStream = 2 * kTokens * S::kHidden;  // bytes of the residual stream

std::string without(const std::string& behaviour) {
  return "{name: megatron, behaviour: {" + behaviour + ": false}}";
}

TEST_CASE("megatron: fused norms, rotary positions and SwiGLU are one kernel each in forward",
          "[runtime]") {
  const auto forward = kernels_of(S{}.run(), "block forward");
  // norm, qkv, rotary of q and of k, attention, proj, add, norm, up, swiglu, down, add
  CHECK(forward.size() == 12);
  CHECK(count_named(forward, "fused_rope_forward") == 2);
  CHECK(count_named(forward, "fused_swiglu") == 1);
  CHECK(count_named(forward, "fused_bias_dropout_add") == 2);
}

// wgrad_gemm_accum_fp32, and _fp16 where main gradients are bf16.
TEST_CASE("megatron: gradients of products are added inside the product", "[runtime]") {
  const DType gradients = GENERATE(DType::kFp32, DType::kBf16);
  S scenario;
  scenario.batch = 2;
  if (gradients == DType::kBf16)
    scenario.training =
        "precision: {parameters: bf16, compute: bf16, gradients: bf16, reduce: bf16, "
        "optimizer_states: fp32, master_weights: fp32}";
  const Simulation s = scenario.run();
  const auto backward = kernels_of(s, "block backward");
  // Four products twice, SwiGLU, attention and its concatenation, two rotaries, two norms of two
  // kernels whose gradient is then added, two gradients of the residual stream.
  CHECK(backward.size() == 8 + 1 + 2 + 2 + 6 + 2);
  int accumulating = 0;
  for (const Segment& g : s.program.segments)
    if (g.name == "block backward")
      for (const Instr& i : g.instrs)
        if (const auto* k = std::get_if<Kernel>(&i.what))
          if (const auto* w = std::get_if<GemmWork>(&k->work); w && w->accumulate) {
            ++accumulating;
            CHECK(w->out == gradients);
          }
  CHECK(accumulating % 4 == 0);
  CHECK(accumulating > 0);
}

TEST_CASE("megatron: dropout and the residual addition are one kernel", "[runtime]") {
  S scenario;
  scenario.model =
      "{model_type: gpt2, n_embd: 512, n_head: 8, n_layer: 4, vocab_size: 4096, n_positions: 512}";
  scenario.training = "precision: mixed, dropout: 0.1, attention: unfused";
  const auto forward = kernels_of(scenario.run(), "block forward");
  CHECK(count_named(forward, "fused_dropout_add") == 2);
  CHECK(count_named(forward, "fused_dropout_kernel") == 1);  // of attention's probabilities
  CHECK(count_named(forward, "fused_bias_dropout_add") == 0);
  CHECK(count_named(forward, "fused_bias_gelu") == 1);
  CHECK(count_named(forward, "masked_softmax") == 1);
}

TEST_CASE("megatron: SwiGLU keeps its input alone", "[runtime]") {
  S fused, plain;
  plain.runtime = without("fused_activation");
  CHECK(kept_by_block(plain.run()) - kept_by_block(fused.run()) == 2 * kTokens * S::kInner);
}

TEST_CASE("megatron: main gradients are fp32 and whole, optimizer states are cut", "[runtime]") {
  S scenario;
  scenario.gpus = 4;
  scenario.batch = 4;
  scenario.plan = "zero_stage: 1";
  const Simulation s = scenario.run();
  const RankProgram& rank = s.program.ranks.front();
  const std::int64_t n = s.report.parameters;
  CHECK(rank.parameters.value == 2 * n);
  CHECK(rank.persistent_gradients.value == 4 * n);
  CHECK(rank.optimizer_states.value == 12 * ((n + 3) / 4));
  CHECK(row_of(s, "reduce_scatter", "dp").payload.value == 4 * n);
  CHECK(row_of(s, "all_gather", "dp").payload.value == 2 * n);
}

TEST_CASE("megatron: ZeRO 3 keeps no whole gradients", "[runtime]") {
  S scenario;
  scenario.gpus = 4;
  scenario.batch = 4;
  scenario.plan = "zero_stage: 3";
  const Simulation s = scenario.run();
  CHECK(s.program.ranks.front().persistent_gradients.value == 0);
  CHECK(row_of(s, "reduce_scatter", "dp").payload.value == 4 * s.report.parameters);
}

TEST_CASE("megatron: the loss needs one fp32 buffer of the logits", "[runtime]") {
  S in_place, plain;
  plain.runtime = without("loss_in_place");
  // At most bf16 and fp32 logits at a time (6 bytes), instead of those and log-probabilities (10).
  const std::int64_t logits = kTokens * S::kVocabulary;
  CHECK((plain.run().report.peak_memory - in_place.run().report.peak_memory).value == 4 * logits);
}

TEST_CASE("megatron: sequence parallelism keeps parts and gathers them again", "[runtime]") {
  S parts, whole;
  parts.gpus = whole.gpus = 4;
  parts.plan = whole.plan = "tensor_parallel: 4, sequence_parallel: true";
  whole.runtime = without("regathers_sequence");
  const Simulation a = parts.run(), b = whole.run();
  // The inputs of qkv and up.
  CHECK(kept_by_block(b) - kept_by_block(a) == 2 * (kStream - kStream / 4));
  // Two products a block, and the head.
  CHECK(row_of(a, "all_gather", "tp").count - row_of(b, "all_gather", "tp").count ==
        2 * S::kLayers + 1);
}

TEST_CASE("megatron: tensor-parallel communication of backward hides behind products",
          "[runtime]") {
  S beside, blocking;
  beside.gpus = blocking.gpus = 4;
  beside.plan = blocking.plan = "tensor_parallel: 4, sequence_parallel: true";
  blocking.runtime = without("overlaps_tensor_communication");
  const Simulation a = beside.run(), b = blocking.run();
  for (const char* operation : {"all_gather", "reduce_scatter"}) {
    CHECK(row_of(a, operation, "tp").count == row_of(b, operation, "tp").count);
    CHECK(row_of(a, operation, "tp").payload.value == row_of(b, operation, "tp").payload.value);
  }
  int overlapped = 0;
  for (const Segment& g : a.program.segments)
    if (g.name == "block backward")
      for (const Instr& i : g.instrs) overlapped += std::holds_alternative<Overlap>(i.what);
  CHECK(overlapped == 4);  // gathers beside two dgrads, reductions beside two wgrads
  CHECK(a.report.breakdown.exposed_communication < b.report.breakdown.exposed_communication);
}

// Of the first rank, in bytes.
std::int64_t peak_of(const Simulation& s) { return s.report.stages.front().peak_memory.value; }

TEST_CASE("megatron: a stage frees an output that it has sent", "[runtime]") {
  S freed, kept;
  freed.gpus = kept.gpus = 4;
  freed.batch = kept.batch = 8;
  freed.plan = kept.plan = "pipeline_parallel: 4, data_parallel: 1";
  kept.runtime = without("frees_sent_outputs");
  // Four micro-batches are alive on the first of four ranks. In the last of its forwards the
  // output is alive either way.
  const std::int64_t difference = peak_of(kept.run()) - peak_of(freed.run());
  CHECK(difference >= 3 * kStream);
  CHECK(difference <= 4 * kStream);
}

TEST_CASE("megatron: gradients of the parameters' type are added inside the product, too",
          "[runtime]") {
  S fused, apart;
  fused.batch = apart.batch = 2;
  fused.training = apart.training =
      "precision: {parameters: fp16, compute: fp16, gradients: fp16, reduce: fp16, "
      "optimizer_states: fp32, master_weights: true}";
  apart.runtime = without("fused_gradient_accumulation");
  const auto added = [](const Simulation& s) {
    return count_named(kernels_of(s, "block backward"),
                       "vectorized_elementwise_kernel<CUDAFunctor_add>");
  };
  CHECK(added(apart.run()) == added(fused.run()) + 4);  // products of a block
}

TEST_CASE("megatron: an fp32 gradient is added to by another kernel than one of two bytes",
          "[runtime]") {
  S scenario;
  scenario.batch = 2;
  scenario.runtime = without("fused_gradient_accumulation");
  const auto kernels = kernels_of(scenario.run(), "block backward");
  CHECK(count_named(kernels, " elementwise_kernel<CUDAFunctor_add>") == 0);
  CHECK(std::count(kernels.begin(), kernels.end(), "elementwise_kernel<CUDAFunctor_add>") == 4 + 2);
}

TEST_CASE("megatron: a host that reads a batch's size back waits for the GPU before each forward",
          "[runtime]") {
  S waits, runs_ahead;
  waits.batch = runs_ahead.batch = 4;
  waits.runtime = "{name: megatron, behaviour: {waits_for_batch: true}}";
  const Simulation a = waits.run(), b = runs_ahead.run();
  const auto host_waits = [](const Simulation& s) {
    std::int64_t n = 0;
    for (const Step& step : s.program.ranks.front().steps)
      n += std::holds_alternative<HostWait>(step.work);
    return n;
  };
  CHECK(host_waits(a) == host_waits(b) + 4);
  // After each wait the GPU has nothing to do until the host has the batch.
  CHECK((a.report.step_time - b.report.step_time).value >= 4 * 500e-6);
}

TEST_CASE("megatron: the ends of a pipeline reduce a tied embedding", "[runtime]") {
  S scenario;
  scenario.gpus = 4;
  scenario.batch = 4;
  scenario.model.replace(scenario.model.find("false"), 5, "true");
  scenario.plan = "pipeline_parallel: 2, tensor_parallel: 2";
  const CommunicationRow tied = row_of(scenario.run(), "all_reduce", "embedding");
  CHECK(tied.count == 1);
  CHECK(tied.payload.value == 4 * S::kVocabulary * S::kHidden / 2);
  scenario.runtime = without("reduces_shared_gradients");
  CHECK(row_of(scenario.run(), "all_reduce", "embedding").count == 0);
}

TEST_CASE("megatron: norms' gradients are reduced over a sequence-parallel group", "[runtime]") {
  S scenario;
  scenario.gpus = 2;
  scenario.plan = "tensor_parallel: 2, sequence_parallel: true";
  const CommunicationRow with = row_of(scenario.run(), "all_reduce", "tp");
  scenario.runtime = without("reduces_shared_gradients");
  const CommunicationRow none = row_of(scenario.run(), "all_reduce", "tp");
  CHECK(with.count - none.count == 1);
  CHECK((with.payload - none.payload).value == 4 * (2 * S::kLayers + 1) * S::kHidden);
}

}  // namespace
}  // namespace rehearse
