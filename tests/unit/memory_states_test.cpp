// What a rank holds for the whole run, and what its peak is made of.

#include <catch2/catch.hpp>

#include "tests/unit/strategy_fixture.hpp"

namespace rehearse {
namespace {

Built with(const std::string& precision, const std::string& plan = "", int gpus = 1,
           const char* model = kSmallLlama) {
  BuildText text;
  text.model = model;
  text.gpus = gpus;
  text.plan = plan;
  text.training += ", precision: " + precision;
  return build(text);
}

// Bytes a parameter: the parameter itself, and AdamW's two moments with the master copy.
TEST_CASE("parameters and optimizer states take what the precision says") {
  struct Expected {
    const char* precision;
    int parameter, states;
  };
  const Expected table[] = {{"fp32", 4, 8},   {"tf32", 4, 8},        {"bf16", 2, 4}, {"amp", 4, 8},
                            {"mixed", 2, 12}, {"mixed-fp16", 2, 12}, {"fp8", 2, 12}};
  for (const Expected& e : table) {
    INFO(e.precision);
    const Built b = with(e.precision);
    const std::int64_t n = parameter_count(b.model);
    CHECK(b.rank().parameters.value == e.parameter * n);
    CHECK(b.rank().optimizer_states.value == e.states * n);
  }
}

TEST_CASE("SGD keeps no moments") {
  BuildText text;
  text.training += ", optimizer: sgd";
  CHECK(build(text).rank().optimizer_states.value == 0);
}

TEST_CASE("ZeRO 1 cuts the optimizer states alone") {
  const Built whole = with("bf16", "", 4), cut = with("bf16", "zero_stage: 1", 4);
  CHECK(cut.rank().parameters == whole.rank().parameters);
  CHECK(cut.rank().optimizer_states.value * 4 >= whole.rank().optimizer_states.value);
  CHECK(cut.rank().optimizer_states.value * 4 < whole.rank().optimizer_states.value * 5 / 4);
}

// 4 ranks: an even share, rounded up.
TEST_CASE("ZeRO 3 cuts parameters and optimizer states into even shares") {
  const Built b = with("bf16", "zero_stage: 3", 4);
  const std::int64_t share = (parameter_count(b.model) + 3) / 4;
  CHECK(b.rank().parameters.value == 2 * share);
  CHECK(b.rank().optimizer_states.value == 4 * share);
}

TEST_CASE("DDP keeps its buckets for the whole run, and one replica frees its gradients") {
  CHECK(with("bf16", "", 4).rank().persistent_gradients.value ==
        2 * parameter_count(with("bf16").model));
  CHECK(with("bf16").rank().persistent_gradients.value == 0);
}

TEST_CASE("tensor parallelism divides what is cut") {
  const Built one = with("bf16"),
              four = with("bf16", "tensor_parallel: 4, vocabulary_parallel: true", 4);
  // Norms stay whole: 8 x 2 + 1 of 64.
  const std::int64_t norms = 2 * 17 * 64;
  CHECK(4 * (four.rank().parameters.value - norms) == one.rank().parameters.value - norms);
}

TEST_CASE("pipeline ranks hold their stages, together the whole model") {
  const Built b = with("bf16", "pipeline_parallel: 4", 4);
  std::int64_t sum = 0;
  for (const RankProgram& rank : b.program.ranks) sum += rank.parameters.value;
  CHECK(sum == 2 * parameter_count(b.model));
}

TEST_CASE("a tied head on another stage has its own copy") {
  const Built b = with("bf16", "pipeline_parallel: 2", 2, kSmallGpt2);
  std::int64_t sum = 0;
  for (const RankProgram& rank : b.program.ranks) sum += rank.parameters.value;
  CHECK(sum == 2 * (parameter_count(b.model) + b.model.vocabulary * b.model.hidden));
}

Bytes activations(const Built& b, std::size_t rank = 0) {
  return rank_memory(b.program, b.rank(rank))
      .at_peak[static_cast<std::size_t>(MemoryCategory::kActivations)];
}

TEST_CASE("recomputation lowers the peak") {
  const auto peak = [](const char* recompute) {
    BuildText text;
    text.training = std::string(
                        "micro_batch_size: 4, global_batch_size: 8, attention: unfused, "
                        "recompute: ") +
                    recompute;
    const Built b = build(text);
    return rank_memory(b.program, b.rank()).peak;
  };
  CHECK(peak("full") < peak("selective"));
  CHECK(peak("selective") < peak("none"));
}

// With 8 micro-batches over 4 stages the first keeps all 8 under GPipe and 4 under 1F1B.
TEST_CASE("1F1B keeps half of GPipe's activations on the first of four stages") {
  const auto first = [](const char* schedule) {
    return static_cast<double>(
        activations(with("bf16", std::string("pipeline_parallel: 4, schedule: ") + schedule, 4))
            .value);
  };
  CHECK(first("1f1b") / first("gpipe") == Approx(0.5).margin(0.03));
}

TEST_CASE("later stages of 1F1B keep fewer micro-batches") {
  const Built b = with("bf16", "pipeline_parallel: 4, stage_layers: [2, 2, 2, 2]", 4);
  CHECK(activations(b, 0) > activations(b, 1));
  CHECK(activations(b, 1) > activations(b, 2));
}

TEST_CASE("reserved memory is at least what is allocated") {
  for (const char* plan : {"", "zero_stage: 1", "zero_stage: 3"}) {
    const Built b = with("bf16", plan, 4);
    const RankMemory m = rank_memory(b.program, b.rank());
    CHECK(m.reserved >= m.peak);
    CHECK(m.peak >= b.rank().parameters + b.rank().optimizer_states);
  }
}

}  // namespace
}  // namespace rehearse
