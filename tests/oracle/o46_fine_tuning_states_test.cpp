#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O46. Bytes of what trains, and again as many of its gradients, in 16 bits, for a model of N
// layers of width D whose layers have 12 D^2 weights (4 D^2 in attention, 8 D^2 in the MLP):
//   the last N_top layers as they are          2 * 12 D^2 N_top = 24 D^2 N_top
//   adapters of R columns, two a layer         2 * (2 * 2 D R) N = 8 D R N
//   LoRA of rank R on queries, keys, values    2 * (3 * 2 D R) N = 12 D R N
// LoRA on the three as one product shares its first factor: (D + 3 D) R weights, 8 D R N bytes. The
// layers' two norms, 2 D weights, train with them: 4 D N_top bytes. The norms count in no other
// row.
//
// A gated MLP of 8 D / 3 columns has 3 D * 8 D / 3 = 8 D^2 weights.

using namespace rehearse;
using namespace rehearse::test;

namespace {

constexpr std::int64_t kD = 96, kN = 6, kR = 4;

struct States {
  std::int64_t trained = 0, reported = 0, gradients = 0, moments = 0;
};

States states(const std::string& how, int gpus = 1, const std::string& plan = "") {
  Ideal ideal;
  ideal.model = fmt::format(
      "{{model_type: llama, hidden_size: {}, intermediate_size: {}, num_attention_heads: 8, "
      "num_key_value_heads: 8, num_hidden_layers: {}, vocab_size: 32, tie_word_embeddings: false}}",
      kD, 8 * kD / 3, kN);
  ideal.gpus = gpus;
  ideal.training = micro_batches(1, gpus) + ", precision: bf16, " + how;
  ideal.plan = plan;
  // Sizes as they are, and gradients at the update.
  ideal.runtime = "{name: pytorch-eager, behaviour: {allocation_granularity: 1 B}}";
  const Simulation s = simulate(ideal);
  States out;
  out.reported = 2 * s.report.trainable_parameters;
  const RankProgram& rank = s.program.ranks.front();
  out.moments = rank.optimizer_states.value;
  out.gradients = rank.persistent_gradients.value;
  replay_memory(s.program, rank, [&](const Step& step, const Live& before, const Live&) {
    const auto* kernel = std::get_if<RunKernel>(&step.work);
    if (!kernel || kernel->kernel.name == 0 || kernel->activity != Activity::kOptimizer) return;
    out.gradients += before[static_cast<std::size_t>(MemoryCategory::kGradients)];
    const auto* update = std::get_if<MemoryWork>(&kernel->kernel.work);
    out.trained = 2 * update->elements;
  });
  return out;
}

void check(const States& s, std::int64_t bytes) {
  CHECK(s.reported == bytes);
  CHECK(s.trained == bytes);
  CHECK(s.gradients == bytes);
  CHECK(s.moments == 2 * bytes);  // two in the parameters' type
}

}  // namespace

TEST_CASE("o46: the last layers have 24 D^2 bytes each, and as many of gradients") {
  for (const std::int64_t top : {1, 2, 6})
    check(states(fmt::format("trainable_layers: {}", top)), 24 * kD * kD * top + 4 * kD * top);
}

TEST_CASE("o46: adapters have 8 D R bytes a layer") {
  check(states(fmt::format("adapter: {{rank: {}}}", kR)), 8 * kD * kR * kN);
}

TEST_CASE("o46: LoRA on queries, keys and values has 12 D R bytes a layer") {
  check(states(fmt::format("lora: {{rank: {}, targets: [q, k, v]}}", kR)), 12 * kD * kR * kN);
  check(states(fmt::format("lora: {{rank: {}, targets: [qkv]}}", kR)), 8 * kD * kR * kN);
}

TEST_CASE("o46: DDP's buckets hold the gradients of what trains alone") {
  check(states(fmt::format("lora: {{rank: {}, targets: [q, k, v]}}", kR), 2), 12 * kD * kR * kN);
}
