#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O22. Sequence parallelism (Korthikanti et al. 2022) cuts what tensor parallelism leaves whole
// along the sequence: every all-reduce of 2 b s h becomes a reduce-scatter where the cut part
// begins and an all-gather where it ends. A ring all-reduce is those two, so a rank sends as many
// bytes: 2 (t-1)/t 2bsh = (t-1)/t 2bsh + (t-1)/t 2bsh.
//
// Megatron keeps the inputs of the column-parallel products cut and gathers both again in backward
// (section 4.2.2 there: hidden behind a product, and not counted in the row): (t-1)/t 2bsh each.

using namespace rehearse;
using namespace rehearse::test;

namespace {

constexpr std::int64_t kS = 64, kH = 64, kB = 2;

Simulation run(int layers, int t, bool sequence_parallel, const char* runtime = "pytorch-eager") {
  Ideal ideal;
  ideal.model = fmt::format(
      "{{model_type: gpt2, hidden_size: {}, num_attention_heads: 8, num_hidden_layers: {}, "
      "vocab_size: 128}}",
      kH, layers);
  ideal.gpus = t;
  ideal.training =
      fmt::format("sequence_length: {}, micro_batch_size: {}, global_batch_size: {}", kS, kB, kB);
  ideal.plan = fmt::format("tensor_parallel: {}, sequence_parallel: {}", t, sequence_parallel);
  ideal.runtime = runtime;
  return simulate(ideal);
}

}  // namespace

TEST_CASE("o22: a layer's all-reduces become as many reduce-scatters and all-gathers") {
  for (const int t : {2, 8}) {
    const Simulation one = run(1, t, true), four = run(4, t, true);
    for (const char* operation : {"reduce_scatter", "all_gather"}) {
      const Communicated few = communicated(one, operation, "tp"),
                         many = communicated(four, operation, "tp");
      CAPTURE(t, operation);
      CHECK(many.count - few.count == 3 * 4);
      CHECK(many.payload - few.payload == 3 * 4 * 2 * kB * kS * kH);
    }
    CHECK(communicated(four, "all_reduce", "tp").count == 0);
  }
}

TEST_CASE("o22: a layer sends the same wire bytes with and without") {
  for (const int t : {2, 4, 8}) {
    const std::int64_t with =
        wire_bytes_of(run(4, t, true), "tp") - wire_bytes_of(run(1, t, true), "tp");
    const std::int64_t without =
        wire_bytes_of(run(4, t, false), "tp") - wire_bytes_of(run(1, t, false), "tp");
    CHECK(with == without);
    CHECK(with == 3 * 8 * kB * kS * kH * 2 * (t - 1) / t);
  }
}

TEST_CASE("o22: Megatron gathers two inputs again") {
  const int t = 4;
  const Simulation one = run(1, t, true, "megatron"), four = run(4, t, true, "megatron");
  const auto more = [&](const char* operation) {
    return communicated(four, operation, "tp").payload - communicated(one, operation, "tp").payload;
  };
  CHECK(more("reduce_scatter") == 3 * 4 * 2 * kB * kS * kH);
  CHECK(more("all_gather") == 3 * 6 * 2 * kB * kS * kH);
}
