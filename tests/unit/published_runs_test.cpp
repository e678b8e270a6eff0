// Tables of published runs: a row is the shared scenario with its cells set.

#include <catch2/catch.hpp>

#include "sim/base/error.hpp"
#include "tests/unit/temp_folder.hpp"
#include "tools/cli/validation.hpp"

namespace rehearse {
namespace {

using Catch::Contains;

constexpr const char* kShared = R"(
source: {title: a paper, licence: facts}
assumed: [nothing]
models:
  - &small {model_type: gpt2, n_layer: 2, n_embd: 128, n_head: 4, n_positions: 256, vocab_size: 512}
scenario:
  cluster: {name: dgx-a100, gpus_per_node: 2}
  training: {sequence_length: 256, micro_batch_size: 1, global_batch_size: 4}
  runtime: megatron
)";

std::vector<MeasuredRun> read(const std::string& table) {
  const TempFolder folder;
  return read_measured(folder.write("runs.yaml", kShared + table));
}

TEST_CASE("a row of published runs sets its cells in the shared scenario") {
  const auto runs = read(
      "columns: [name, model, plan.tensor_parallel, measured.step_time_s, measured.peak_memory]\n"
      "runs:\n  - [a, *small, 2, 0.5, 3 GB]\n  - [b, *small, ~, 0.25, ~]\n");
  REQUIRE(runs.size() == 2);
  CHECK(runs[0].scenario.front().plan.tensor_parallel == 2);
  CHECK(runs[0].step->value == 0.5);
  CHECK(*runs[0].peak == Bytes(3'000'000'000));
  CHECK(runs[1].scenario.front().plan.tensor_parallel == 1);
  CHECK_FALSE(runs[1].peak.has_value());
}

TEST_CASE("tokens a second and GPU are a step time of the whole batch") {
  const auto runs = read(
      "columns: [name, model, measured.tokens_per_second_per_gpu]\nruns:\n  - [a, *small, 64]\n");
  CHECK(runs.front().step->value == Approx(4 * 256 / (64.0 * 2)));
}

TEST_CASE("what cannot be simulated keeps its reason, and what is no cell is refused") {
  const auto runs = read(
      "columns: [name, model, beyond, plan.zero_stage, measured.step_time_s]\n"
      "runs:\n  - [a, *small, written for TPUs, 0, 1]\n  - [b, *small, ~, 4, 1]\n");
  CHECK(runs[0].refused == "written for TPUs");
  CHECK_THAT(runs[1].refused, Contains("expected 0, 1, 2 or 3"));
  CHECK_THROWS_WITH(read("columns: [name, model]\nruns:\n  - [a]\n"), Contains("a row of 2 cells"));
  CHECK_THROWS_WITH(read("columns: [name, model]\nruns:\n  - [a, *small]\n"),
                    Contains("neither a step time"));
}

TEST_CASE("runs that agree in rank_within are rivals") {
  const auto runs = read(
      "rank_within: [model]\ncolumns: [name, model, plan.tensor_parallel, measured.step_time_s]\n"
      "runs:\n  - [a, *small, 1, 1]\n  - [b, *small, 2, 1]\n");
  CHECK_FALSE(runs[0].rivals.empty());
  CHECK(runs[0].rivals == runs[1].rivals);
}

TEST_CASE("Spearman's rank correlation shares ranks among ties") {
  CHECK(rank_correlation({1, 2, 3, 4}, {10, 20, 40, 30}) == Approx(0.8));
  CHECK(rank_correlation({1, 2, 3}, {3, 2, 1}) == Approx(-1));
  // Ranks 0.5, 0.5, 2 against 0, 1, 2: covariance 1.5 over sqrt(1.5 * 2).
  CHECK(rank_correlation({5, 5, 7}, {1, 2, 3}) == Approx(1.5 / std::sqrt(3.0)));
}

TEST_CASE("the order of validated runs does not depend on the jobs") {
  const std::string table =
      "columns: [name, model, plan.tensor_parallel, measured.step_time_s]\n"
      "runs:\n  - [a, *small, 1, 1]\n  - [b, *small, 2, 1]\n  - [c, *small, 1, 2]\n";
  const auto one = validate_runs(read(table), {1}), three = validate_runs(read(table), {3});
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(three[i].run.name == one[i].run.name);
    CHECK(three[i].report.step_time.value == one[i].report.step_time.value);
  }
  CHECK(one[0].step_error == Approx(one[0].report.step_time.value - 1));
}

}  // namespace
}  // namespace rehearse
