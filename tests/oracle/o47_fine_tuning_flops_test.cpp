#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O47. Training takes 6 N FLOPs a token: 2 N forward, 2 N for gradients of inputs and 2 N for those
// of weights. With LoRA the last third is left out for all but its own products: about 4 N.
//
// To the FLOP, for P weights a layer of which Q are the qkv product's, a head of H weights, LoRA of
// A weights a layer (A_qkv of them in the first product beside qkv), T tokens of sequences of s:
//   forward    2 T (L P + H + L A) + 4 s h T L
//   inputs     2 T (L P + H + L A - Q - A_qkv) + 8 s h T L    the first layer's input has none
//   weights    2 T L A
// With the last n layers training, forward as ever, inputs of those (of the lowest one's qkv
// product too, whose norm trains) and of the head, and weights of those layers:
//   inputs     2 T (n P + H) + 8 s h T n,  weights 2 T n P
// and nothing at all below them.

using namespace rehearse;
using namespace rehearse::test;

namespace {

constexpr double kL = 6, kH = 256, kF = 512, kV = 640, kS = 64, kB = 3, kR = 8;
constexpr double kT = kB * kS;
constexpr double kQkv = 3 * kH * kH, kLayer = 4 * kH * kH + 3 * kH * kF, kHead = kH * kV;
constexpr double kAttention = 4 * kS * kH;  // FLOPs a token and layer, forward

Simulation run(const std::string& how, int gpus = 1, const std::string& plan = "",
               const char* runtime = "pytorch-eager") {
  Ideal ideal;
  ideal.model = fmt::format(
      "{{model_type: llama, hidden_size: {}, intermediate_size: {}, num_attention_heads: 8, "
      "num_key_value_heads: 8, num_hidden_layers: {}, vocab_size: {}, tie_word_embeddings: false}}",
      kH, kF, kL, kV);
  ideal.gpus = gpus;
  ideal.training =
      fmt::format("sequence_length: {}, micro_batch_size: 1, global_batch_size: {}{}", kS, kB, how);
  ideal.plan = plan;
  ideal.runtime = runtime;
  return simulate(ideal);
}

double flops(const Simulation& s) { return s.report.step_time.value * kIdealPeak; }

constexpr double kRounding = 1e-6;  // half a picosecond a product

}  // namespace

TEST_CASE("o47: LoRA leaves out the gradients of the weights that it freezes") {
  const double first = kR * kH;  // of qkv's
  const double low_rank =
      kR * ((kH + 3 * kH) + (kH + kH) + (kH + 2 * kF) + (kF + kH));  // qkv, proj, up, down
  const double forward = 2 * kT * (kL * (kLayer + low_rank) + kHead) + kAttention * kT * kL;
  const double inputs =
      2 * kT * (kL * (kLayer + low_rank) + kHead - kQkv - first) + 2 * kAttention * kT * kL;
  const double weights = 2 * kT * kL * low_rank;
  const Simulation s = run(", lora: {rank: 8, targets: [qkv, proj, up, down]}");
  CHECK(flops(s) == Approx(forward + inputs + weights).epsilon(kRounding));
}

TEST_CASE("o47: LoRA takes about 4 N FLOPs a token, and all of training 6 N") {
  const Simulation all = run(""), tuned = run(", lora: {rank: 1, targets: [proj]}");
  const double n = kL * kLayer + kHead;
  const double attention = kAttention * kL;
  CHECK(flops(all) / kT - 3 * attention == Approx(6 * n).epsilon(kRounding));
  // One column of LoRA is a hundredth; the first layer's qkv product has no gradient of its input.
  CHECK(flops(tuned) / kT - 3 * attention == Approx(4 * n).epsilon(0.06));
  // MFU counts so too: with the embedding in the 2 N of forward.
  const double embedding = kV * kH, norms = (2 * kL + 1) * kH, low_rank = kL * 2 * kH;
  const double model = 4 * (n + norms) + 2 * embedding + 6 * low_rank + 3 * attention;
  CHECK(tuned.report.mfu == Approx(model * kT / flops(tuned)).epsilon(kRounding));
}

TEST_CASE("o47: below the lowest layer that trains there is no backward") {
  for (const double n : {1.0, 2.0, 6.0}) {
    const Simulation s = run(fmt::format(", trainable_layers: {}", n));
    const double forward = 2 * kT * (kL * kLayer + kHead) + kAttention * kT * kL;
    const double inputs = 2 * kT * (n * kLayer + kHead) + 2 * kAttention * kT * n;
    CHECK(flops(s) == Approx(forward + inputs + 2 * kT * n * kLayer).epsilon(kRounding));
  }
}

// Of two layers in the middle, the input's gradient passes through those above.
TEST_CASE("o47: gradients go down to the lowest of the layers that are listed") {
  const Simulation s = run(", trainable_layers: [2, 4]");
  const double forward = 2 * kT * (kL * kLayer + kHead) + kAttention * kT * kL;
  const double inputs = 2 * kT * (4 * kLayer + kHead) + 2 * kAttention * kT * 4;
  CHECK(flops(s) == Approx(forward + inputs + 2 * kT * 2 * kLayer).epsilon(kRounding));
}

TEST_CASE("o47: a pipeline sends no gradients below the lowest layer that trains") {
  const Simulation s = run(", trainable_layers: 2", 3, "pipeline_parallel: 3", "megatron");
  const auto messages = message_bytes(s.program);
  CHECK(messages.count({0, 1}) == 1);
  CHECK(messages.count({1, 2}) == 1);
  CHECK(messages.count({2, 1}) == 0);
  CHECK(messages.count({1, 0}) == 0);
}
