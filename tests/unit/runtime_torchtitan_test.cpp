#include "tests/unit/runtime_scenarios.hpp"

namespace rehearse {
namespace {

using namespace runtime_test;
using S = RuntimeScenario;

S titan(const std::string& precision, const std::string& plan = "data_parallel: 1") {
  S s;
  s.runtime = "torchtitan";
  s.training = "precision: " + precision;
  s.plan = plan;
  return s;
}

S with_tensor_parallelism(const std::string& precision, bool sequence_parallel) {
  S s = titan(precision, "tensor_parallel: 4, vocabulary_parallel: true");
  if (sequence_parallel) s.plan += ", sequence_parallel: true";
  s.gpus = 4;
  return s;
}

// What the head's forward leaves for its backward.
std::int64_t kept_by_head(const Simulation& s) {
  std::int64_t kept = 0;
  for (const Segment& g : s.program.segments) {
    if (g.name != "head forward") continue;
    for (const Instr& i : g.instrs)
      if (const auto* c = std::get_if<MemoryChange>(&i.what);
          c && c->category == MemoryCategory::kActivations)
        kept += c->allocate ? c->bytes.value : -c->bytes.value;
  }
  return kept;
}

TEST_CASE("torchtitan: the compiled loss keeps its logits alone, in their own type", "[runtime]") {
  S eager = titan("bf16");
  eager.runtime = "pytorch-compile";
  constexpr std::int64_t logits = 2 * S::kLength * S::kVocabulary;
  // Eager: log-probabilities in fp32.
  CHECK(kept_by_head(eager.run()) - kept_by_head(titan("bf16").run()) == logits);
  const auto forward = kernels_of(titan("bf16").run(), "head forward");
  CHECK(count_named(forward, "log_softmax_nll_loss") == 1);
  CHECK(count_named(forward, "direct_copy") == 0);
}

// Keys and values are repeated by the model's own code, so that attention, and the ring of context
// parallelism, have those of all heads.
TEST_CASE("torchtitan: keys and values of groups are repeated before attention", "[runtime]") {
  const std::string runtime = GENERATE(as<std::string>{}, "torchtitan", "torchtitan-eager");
  S grouped = titan("bf16");
  grouped.runtime = runtime;
  grouped.model.replace(grouped.model.find("key_value_heads: 8"), 18, "key_value_heads: 2");
  const auto repeats = [](const S& s) {
    const auto names = kernels_of(s.run(), "block forward");
    return count_named(names, "clone_expand") +
           count_named(names, "elementwise_kernel<direct_copy>");
  };
  S all = titan("bf16");
  all.runtime = runtime;
  CHECK(repeats(grouped) == repeats(all) + 2);

  const auto sent = [](S s, const std::string& of) {
    s.runtime = of;
    s.gpus = 2;
    s.plan = "context_parallel: 2";
    return row_of(s.run(), "send_recv", "cp").payload.value;
  };
  CHECK(sent(grouped, runtime) == sent(all, runtime));
  CHECK(sent(grouped, runtime) == 4 * sent(grouped, "pytorch-eager"));
}

TEST_CASE("torchtitan, eager: a norm is PyTorch's composition in fp32", "[runtime]") {
  S eager = titan("bf16");
  eager.runtime = "torchtitan-eager";
  const auto forward = kernels_of(eager.run(), "block forward");
  CHECK(count_named(forward, "vectorized_layer_norm_kernel") == 0);
  CHECK(count_named(forward, "MeanOps") == 2);
}

TEST_CASE("torchtitan: sequences are brought into order by copies, whole ones are not",
          "[runtime]") {
  const auto copies = [](const S& s) {
    const Simulation run = s.run();
    return count_named(kernels_of(run, "block forward"), "CatArrayBatchedCopy") +
           count_named(kernels_of(run, "block backward"), "CatArrayBatchedCopy");
  };
  // Two gathers and two reduce_scatters, and as many in backward.
  CHECK(copies(with_tensor_parallelism("bf16", true)) ==
        copies(with_tensor_parallelism("bf16", false)) + 8);
}

TEST_CASE("torchtitan: products in fp8 gather sequences in fp8, and cast a part of them",
          "[runtime]") {
  const Simulation bf16 = with_tensor_parallelism("fsdp-mixed", true).run();
  const Simulation fp8 = with_tensor_parallelism("fsdp-fp8", true).run();
  const auto gathered = [](const Simulation& s) { return row_of(s, "all_gather", "tp").payload; };
  // Four of a block are half as large; the embedding's and the head's stay.
  constexpr std::int64_t sequence = 2 * S::kLength * S::kHidden;
  CHECK(gathered(bf16).value > 4 * S::kLayers * sequence);
  CHECK(gathered(bf16).value - gathered(fp8).value == 4 * S::kLayers * sequence / 2);
  CHECK(row_of(fp8, "reduce_scatter", "tp").payload ==
        row_of(bf16, "reduce_scatter", "tp").payload);

  std::vector<std::int64_t> casts;
  for (const Segment& g : fp8.program.segments)
    if (g.name == "block forward")
      for (const Instr& i : g.instrs)
        if (const auto* k = std::get_if<Kernel>(&i.what);
            k && fp8.program.names[k->name] == "triton_red_fused_abs_max")
          casts.push_back(std::get<MemoryWork>(k->work).read.value);
  // The input of the first product: a fourth of the sequence; then its weights.
  REQUIRE(casts.size() >= 2);
  CHECK(casts[0] == sequence / 4);
}

}  // namespace
}  // namespace rehearse
