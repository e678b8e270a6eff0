#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O21. Tensor parallelism as Megatron cuts a layer: the attention and the feed-forward part each
// end in a product whose results must be added over the ranks (all-reduce forward), and each begin
// with one whose input gradients must (all-reduce backward). So 2 + 2 all-reduces a layer, each of
// [b, s, h] in two bytes, 2 b s h; over l layers and B sequences 8 l B s h a step.

using namespace rehearse;
using namespace rehearse::test;

namespace {

constexpr std::int64_t kS = 64, kH = 64, kB = 2, kMicroBatches = 3;

Simulation run(const char* family, int layers, int t, const std::string& plan = "") {
  Ideal ideal;
  ideal.model = fmt::format(
      "{{model_type: {}, hidden_size: {}, num_attention_heads: 8, num_hidden_layers: {}, "
      "vocab_size: 128}}",
      family, kH, layers);
  ideal.gpus = t;
  ideal.training = fmt::format("sequence_length: {}, micro_batch_size: {}, global_batch_size: {}",
                               kS, kB, kB * kMicroBatches);
  ideal.plan = fmt::format("tensor_parallel: {}{}", t, plan);
  return simulate(ideal);
}

}  // namespace

TEST_CASE("o21: four all-reduces of 2bsh a layer, 8lBsh a step") {
  for (const char* family : {"gpt2", "llama"})
    for (const int layers : {1, 4})
      for (const int t : {2, 8}) {
        const Communicated all_reduce = communicated(run(family, layers, t), "all_reduce", "tp");
        CAPTURE(family, layers, t);
        CHECK(all_reduce.count == 4 * layers * kMicroBatches);
        CHECK(all_reduce.payload == 8 * layers * kB * kMicroBatches * kS * kH);
        CHECK(all_reduce.wire == all_reduce.payload * 2 * (t - 1) / t);
      }
}

// With the vocabulary cut too, the embedding adds its rows forward and the head its input's
// gradient backward, 2 b s h each, and the loss three numbers a token (maximum, sum of
// exponentials, logit of the target) in fp32.
TEST_CASE("o21: cutting the vocabulary adds two all-reduces of 2bsh and three of 4bs") {
  const Communicated whole = communicated(run("gpt2", 2, 4), "all_reduce", "tp");
  const Communicated cut =
      communicated(run("gpt2", 2, 4, ", vocabulary_parallel: true"), "all_reduce", "tp");
  CHECK(cut.count - whole.count == 5 * kMicroBatches);
  CHECK(cut.payload - whole.payload == kMicroBatches * (2 * 2 * kB * kS * kH + 3 * 4 * kB * kS));
}

TEST_CASE("o21: nothing else is communicated") {
  const Simulation s = run("gpt2", 2, 4);
  CHECK(s.report.communication.size() == 1);
}
