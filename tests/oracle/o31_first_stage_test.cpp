#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O31. Under 1F1B with m >= p micro-batches the first of p stages keeps p of them, each for its l/p
// layers: as much as all l layers keep for one micro-batch, whatever p is. So cutting the model
// into stages does not make the first stage's activations smaller.
//
// Beside the layers' own, every micro-batch in flight keeps the mask of the embedding's dropout,
// s b h, and, with more than one stage, the stage's output until its gradient returns, 2 s b h.

using namespace rehearse;
using namespace rehearse::test;

TEST_CASE("o31: the first stage keeps all layers' worth of activations, however many stages") {
  const std::int64_t s = 128, h = 256, heads = 4, layers = 8;
  const std::int64_t layer = s * h * 34 + 5 * heads * s * s + 16 * s;  // O30
  for (const int p : {2, 4, 8})
    for (const int m : {p, 2 * p, 3 * p + 1}) {
      Ideal ideal;
      ideal.model = fmt::format(
          "{{model_type: gpt2, n_layer: {}, n_embd: {}, n_head: {}, n_positions: {}, vocab_size: "
          "128}}",
          layers, h, heads, s);
      ideal.gpus = p;
      ideal.training = fmt::format(
          "sequence_length: {}, micro_batch_size: 1, global_batch_size: {}, dropout: 0.1", s, m);
      ideal.plan = fmt::format("pipeline_parallel: {}", p);
      CAPTURE(p, m);
      CHECK(live_activations(simulate(ideal), 0) == layers * layer + p * 3 * s * h);
    }
}
