// Files of measured runs: rows become scenarios; what is none is refused at its line.

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "sim/base/error.hpp"
#include "tests/unit/temp_folder.hpp"
#include "tools/cli/measured.hpp"
#include "tools/cli/validation.hpp"

namespace rehearse {
namespace {

using Catch::Contains;

std::string row(const std::string& plan, const std::string& more = "") {
  return R"({"name": "r", "model_name": "m", "model": {"family": "llama", "layers": 4, "hidden": 64, )"
         R"("heads": 8, "kv_heads": 4, "ffn": 128, "vocab": 512, "tied": false}, "plan": )" +
         plan + R"(, "seq": 128, "micro_batch": 2, "num_micro": 3, "precision": "bf16", )" +
         R"("recompute": "full", "world": 4, "step_s": [0.2, 0.4], "bound": "gpu", )" +
         R"("peak_allocated_bytes": [5, 9, 7, 1], "peak_reserved_bytes": [20, 10, 1, 1])" + more +
         "}\n";
}

MeasuredRun read(const std::string& text) {
  const TempFolder folder;
  return read_measured(folder.write("runs.jsonl", text)).front();
}

std::string complaint(const std::string& text) {
  const TempFolder folder;
  try {
    read_measured(folder.write("runs.jsonl", text));
    return "accepted";
  } catch (const UserError& e) {
    return e.what();
  }
}

TEST_CASE("a measured run becomes a scenario") {
  const MeasuredRun run = read(row(R"({"kind": "ddp", "dp": 4, "bucket_mb": 200})"));
  REQUIRE(run.scenario.size() == 1);
  const Scenario& s = run.scenario.front();
  CHECK(s.training.micro_batch_size == 2);
  CHECK(s.training.global_batch_size == 2 * 3 * 4);
  CHECK(s.training.sequence_length == 128);
  CHECK(s.training.recompute == Recompute::kFull);
  CHECK(s.plan.data_parallel == 4);
  CHECK(s.plan.bucket_size == Bytes(200 << 20));
  CHECK(s.model.find("num_key_value_heads")->as_scalar().text == "4");
}

TEST_CASE("a measured run has the mean of its steps and the largest of its ranks") {
  const MeasuredRun run = read(row(R"({"kind": "ddp", "dp": 4})"));
  CHECK(run.step->value == Approx(0.3));
  CHECK(*run.peak == Bytes(9));
  CHECK(*run.reserved == Bytes(20));
  CHECK(run.series == "gpu");
  CHECK_FALSE(run.out_of_memory);
}

TEST_CASE("kinds of measured plans are the scenario's") {
  const auto plan = [](const std::string& text) { return read(row(text)).scenario.front().plan; };
  CHECK(plan(R"({"kind": "fsdp", "dp": 4})").zero_stage == 3);
  CHECK(plan(R"({"kind": "zero2", "dp": 4})").zero_stage == 2);
  CHECK(plan(R"({"kind": "zero1", "dp": 4})").zero_stage == 1);
  const Plan tp = plan(R"({"kind": "tp", "tp": 4, "sp": true})");
  CHECK(tp.tensor_parallel == 4);
  CHECK(tp.sequence_parallel);
  CHECK_FALSE(tp.vocabulary_parallel);
  const Plan pp = plan(R"({"kind": "pp", "pp": 4, "schedule": "Interleaved1F1B", "vstages": 2})");
  CHECK(pp.pipeline_parallel == 4);
  CHECK(pp.schedule == "interleaved-1f1b");
  CHECK(pp.virtual_stages == 2);
}

TEST_CASE("a run out of memory has no step") {
  std::string text = row(R"({"kind": "ddp", "dp": 4})", R"(, "out_of_memory": true)");
  const std::string steps = R"("step_s": [0.2, 0.4], )";
  text.erase(text.find(steps), steps.size());
  const MeasuredRun run = read(text);
  CHECK(run.out_of_memory);
  CHECK_FALSE(run.step.has_value());
}

TEST_CASE("a row that is not one is refused at its line, every such row") {
  const std::string good = row(R"({"kind": "ddp", "dp": 4})");
  const std::string text = complaint(good + "{\"name\": \"x\"\n" + good + "\n" + "{\"name\": 3}\n");
  CHECK_THAT(text, Contains("runs.jsonl:2:1: error: not a measured run"));
  CHECK_THAT(text, Contains("runs.jsonl:5:1: error: not a measured run"));
  CHECK_THAT(text, Contains("calibration/measure_steps.py writes this format"));
}

TEST_CASE("a file of no measured runs is refused") {
  CHECK_THAT(complaint("\n  \n"), Contains("the file has no measured runs"));
}

TEST_CASE("a file of measured runs that is not there is refused") {
  CHECK_THROWS_WITH(read_measured("/nowhere/runs.jsonl"), Contains("/nowhere/runs.jsonl"));
}

TEST_CASE("the measured runs of the repository are read") {
  const std::string folder = std::string(REHEARSE_SOURCE_DIR) + "/tests/data/measured/";
  for (const char* name : {"h200-steps.jsonl", "h200-steps-plans.jsonl"}) {
    const auto runs = read_measured(folder + name);
    CHECK(runs.size() > 10);
    for (const MeasuredRun& r : runs) CHECK(r.scenario.empty() != r.refused.empty());
  }
}

TEST_CASE("a run of which memory alone was measured counts there alone") {
  ValidatedRun timed, sized;
  for (ValidatedRun* r : {&timed, &sized}) r->run.scenario.resize(1);
  timed.run.step = Seconds(1);
  timed.step_error = 0.5;
  sized.run.peak = Bytes(1);
  sized.peak_error = 0.1;
  const std::vector<ErrorSummary> both = summaries({timed, sized});
  REQUIRE(both.size() == 2);
  CHECK(both[0].what == "step time");
  CHECK(both[0].mean == Approx(0.5));
  CHECK(both[1].mean == Approx(0.1));
  const std::vector<ErrorSummary> memory = summaries({sized});
  REQUIRE(memory.size() == 1);
  CHECK(memory[0].what == "peak allocated");
}

TEST_CASE("runs without a series are a series where others have one") {
  ValidatedRun named, plain;
  named.run.series = "table 5";
  for (ValidatedRun* r : {&named, &plain}) {
    r->run.scenario.resize(1);
    r->run.step = Seconds(1);
  }
  const std::vector<ErrorSummary> found = summaries({named, plain});
  REQUIRE(found.size() == 3);
  CHECK(found[1].what == "  others");
  CHECK(found[2].what == "  table 5");
  CHECK(summary_json(found)[1]["what"] == "others");
}

}  // namespace
}  // namespace rehearse
