#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O30. Activations that a layer of a GPT keeps for backward, attention unfused, with dropout
// (Korthikanti et al. 2022, table 2), in bytes for 16-bit activations and one-byte masks:
//   attention: input 2 sbh; q, k 4; softmax 2 a s^2 b; its mask a s^2 b; what multiplies v
//   2 a s^2 b; v 2 sbh; input of the projection 2; its dropout's mask 1:  11 sbh + 5 a s^2 b
//   MLP: input 2, of GELU 8, of the second product 8, mask 1:             19 sbh
//   two layer norms' inputs: 4 sbh
// so sbh (34 + 5 a s/h); cut over t ranks sbh (10 + 24/t + 5 a s/(h t)); with sequence parallelism
// sbh (34/t + 5 a s/(h t)); recomputing the attention core takes 5 a s/h away; recomputing the
// whole layer leaves its input, 2 sbh.
//
// Two things the formula leaves out are counted here. A layer norm keeps the mean and the inverse
// deviation of every token in fp32: 16 s b a layer. And where Megatron gathers the inputs of the
// column-parallel products again in backward, eager PyTorch keeps the two of them gathered: under
// sequence parallelism 4 sbh (1 - 1/t) more. The runtime here is eager PyTorch, which
// otherwise keeps the same, and which can be told to gather again.

using namespace rehearse;
using namespace rehearse::test;

namespace {

struct Shape {
  std::int64_t s, b, h, a;
  std::int64_t token_bytes() const { return s * b; }
};

// Of one layer: what a model of two keeps more than a model of one.
const char* const kKeeping = "pytorch-eager";
const char* const kGathering = "{name: pytorch-eager, behaviour: {regathers_sequence: true}}";

std::int64_t layer_bytes(const Shape& x, int t, bool sequence_parallel, const char* recompute,
                         const char* runtime = kGathering) {
  const auto kept = [&](int layers) {
    Ideal ideal;
    ideal.model = fmt::format(
        "{{model_type: gpt2, n_layer: {}, n_embd: {}, n_head: {}, n_positions: {}, vocab_size: "
        "128}}",
        layers, x.h, x.a, x.s);
    ideal.gpus = t;
    ideal.training = fmt::format(
        "sequence_length: {}, micro_batch_size: {}, global_batch_size: {}, dropout: 0.1, "
        "recompute: {}",
        x.s, x.b, x.b, recompute);
    ideal.plan = fmt::format("tensor_parallel: {}, sequence_parallel: {}", t, sequence_parallel);
    ideal.runtime = runtime;
    return live_activations(simulate(ideal), 0);
  };
  return kept(2) - kept(1);
}

const Shape kGpt3{2048, 1, 12288, 96};
const Shape kShapes[] = {kGpt3, {1024, 4, 2048, 16}};

}  // namespace

TEST_CASE("o30: a layer on one GPU keeps sbh (34 + 5as/h)") {
  for (const Shape& x : kShapes) {
    const std::int64_t sb = x.token_bytes();
    const std::int64_t scores = 5 * x.a * x.s * sb;
    CHECK(layer_bytes(x, 1, false, "none") == 34 * sb * x.h + scores + 16 * sb);
    CHECK(layer_bytes(x, 1, false, "selective") == 34 * sb * x.h + 16 * sb);
    CHECK(layer_bytes(x, 1, false, "full") == 2 * sb * x.h);
  }
}

TEST_CASE("o30: tensor parallelism leaves 10 of the 34 whole") {
  for (const Shape& x : kShapes)
    for (const int t : {2, 8}) {
      const std::int64_t sb = x.token_bytes(), sbh = sb * x.h;
      const std::int64_t scores = 5 * x.a * x.s * sb / t;
      CHECK(layer_bytes(x, t, false, "none") == 10 * sbh + 24 * sbh / t + scores + 16 * sb);
      CHECK(layer_bytes(x, t, false, "selective") == 10 * sbh + 24 * sbh / t + 16 * sb);
      CHECK(layer_bytes(x, t, false, "full") == 2 * sbh);
    }
}

TEST_CASE("o30: sequence parallelism cuts everything") {
  for (const Shape& x : kShapes)
    for (const int t : {2, 8}) {
      const std::int64_t sb = x.token_bytes(), rest = 34 * sb * x.h / t + 16 * sb / t;
      CHECK(layer_bytes(x, t, true, "none") == rest + 5 * x.a * x.s * sb / t);
      CHECK(layer_bytes(x, t, true, "selective") == rest);
    }
}

TEST_CASE("o30: eager PyTorch keeps two inputs gathered, 4sbh (1 - 1/t) more") {
  for (const Shape& x : kShapes)
    for (const int t : {2, 8})
      for (const char* recompute : {"none", "selective"}) {
        const std::int64_t sbh = x.token_bytes() * x.h;
        CHECK(layer_bytes(x, t, true, recompute, kKeeping) ==
              layer_bytes(x, t, true, recompute) + 4 * sbh - 4 * sbh / t);
      }
}

// 175 billion parameters, s = 2048, b = 1, t = 8, in MB.
TEST_CASE("o30: a layer of GPT-3") {
  const auto megabytes = [](int t, bool sequence_parallel, const char* recompute) {
    return static_cast<double>(layer_bytes(kGpt3, t, sequence_parallel, recompute)) * 1e-6;
  };
  const double statistics = 16 * 2048 * 1e-6;
  CHECK(megabytes(1, false, "none") - statistics == Approx(2868.9).margin(0.05));
  CHECK(megabytes(8, false, "none") - statistics == Approx(578.8).margin(0.05));
  CHECK(megabytes(8, true, "none") - statistics / 8 == Approx(358.6).margin(0.05));
  CHECK(megabytes(8, false, "selective") - statistics == Approx(327.2).margin(0.05));
  CHECK(megabytes(8, true, "selective") - statistics / 8 == Approx(107.0).margin(0.05));
  CHECK(megabytes(8, false, "full") == Approx(50.3).margin(0.05));
}
