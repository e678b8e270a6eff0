#include <catch2/catch.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "sim/report/run_report.hpp"
#include "sim/report/writers/text_table.hpp"

using namespace rehearse;
using nlohmann::json;

namespace {

RunReport example(const std::string& plan, double tokens_per_second, bool fits) {
  RunReport r;
  r.scenario = "llama3-8b-h200/" + plan;
  r.plan_name = plan;
  r.model = "llama3-8b";
  r.cluster = "h200-4";
  r.gpu = "h200-sxm";
  r.runtime = "pytorch-eager";
  r.precision = "fsdp-mixed";
  r.plan_text = "dp 4, zero 3";
  r.parameters = 8030261248;
  r.gpus = 4;
  r.tokens_per_step = 16384;
  r.step_time = Seconds(16384 / tokens_per_second);
  r.tokens_per_second = tokens_per_second;
  r.tokens_per_second_per_gpu = tokens_per_second / 4;
  r.model_tflops_per_gpu = 412.03;
  r.mfu = 0.4166;
  r.mfu_causal = 0.401;
  r.hfu = 0.4166;
  r.fits = fits;
  r.peak_memory = Bytes(53900000001);
  r.peak_reserved = Bytes(55000000000);
  r.memory_overhead = Bytes(2000000000);
  r.memory_capacity = Bytes(150000000000);
  r.stages = {{0,
               Bytes(53900000001),
               Bytes(55000000000),
               {Bytes(8000000000), Bytes(8000000001), Bytes(16000000000), Bytes(20900000000),
                Bytes(1000000000)}}};
  r.breakdown = {Seconds(0.6 * r.step_time.value), Seconds(0.1 * r.step_time.value),
                 Seconds(0.2 * r.step_time.value), Seconds(0.05 * r.step_time.value),
                 Seconds(0.05 * r.step_time.value)};
  r.communication = {{"all_gather", "dp", 66, Bytes(32121044992), Bytes(24090783744),
                      Seconds(0.081), Seconds(0.05)}};
  r.transfers = {
      {"attention, backward",
       "transferred from another GPU, and this source is long enough that it does not fit on one "
       "line of a terminal",
       0.2}};
  r.simulation = {123456, 246912, 0.0123, 4, 1, "00ff", "ff00"};
  return r;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

void require_tidy(const std::string& text) {
  for (const std::string& line : lines_of(text)) {
    INFO(line);
    CHECK(display_width(line) <= kTextWidth);
    CHECK((line.empty() || line.back() != ' '));
  }
}

}  // namespace

TEST_CASE("run JSON has every field that is promised", "[report][json]") {
  const json j = json::parse(run_json(example("fsdp", 32577.0, true)));
  CHECK(j.at("schema") == "rehearse.run/1");
  for (const char* key : {"step_time_s", "tokens_per_second", "tokens_per_second_per_gpu",
                          "model_tflops_per_gpu", "mfu", "mfu_causal", "hfu", "parameters",
                          "peak_memory_bytes", "peak_reserved_bytes", "memory_capacity_bytes"}) {
    INFO(key);
    CHECK(j.at(key).is_number());
  }
  CHECK(j.at("fits_in_memory") == true);
  const json& stage = j.at("stages").at(0);
  CHECK(stage.at("pipeline_stage") == 0);
  CHECK(stage.at("peak_memory_bytes") == 53900000001);
  const json& at_peak = stage.at("memory_at_peak_bytes");
  CHECK(at_peak.size() == 5);
  CHECK(at_peak.at("parameters") == 8000000000);
  CHECK(at_peak.at("gradients") == 8000000001);
  CHECK(at_peak.at("optimizer_states") == 16000000000);
  CHECK(at_peak.at("activations") == 20900000000);
  CHECK(at_peak.at("temporary") == 1000000000);
  CHECK(j.at("breakdown_s").size() == 5);
  for (const char* key :
       {"compute", "exposed_communication", "pipeline_bubble", "host", "optimizer"}) {
    CHECK(j.at("breakdown_s").at(key).is_number());
  }
  const json& row = j.at("communication").at(0);
  CHECK(row.at("operation") == "all_gather");
  CHECK(row.at("group") == "dp");
  CHECK(row.at("count") == 66);
  CHECK(row.at("payload_bytes") == 32121044992);
  CHECK(row.at("wire_bytes_per_rank") == 24090783744);
  CHECK(row.at("time_s") == 0.081);
  CHECK(row.at("exposed_s") == 0.05);
  const json& simulation = j.at("simulation");
  CHECK(simulation.at("tasks") == 123456);
  CHECK(simulation.at("events") == 246912);
  CHECK(simulation.at("wall_s") == 0.0123);
  CHECK(simulation.at("ranks") == 4);
  CHECK(simulation.at("simulated_ranks") == 1);
  CHECK(simulation.at("structure_hash") == "00ff");
  CHECK(simulation.at("timing_hash") == "ff00");
}

TEST_CASE("numbers survive a round trip through JSON to the last bit", "[report][json]") {
  RunReport r = example("fsdp", 32577.0, true);
  r.step_time = Seconds(0.1 + 0.2);
  r.parameters = std::numeric_limits<std::int64_t>::max();
  const json j = json::parse(run_json(r));
  CHECK(j.at("step_time_s").get<double>() == 0.1 + 0.2);
  CHECK(j.at("parameters").get<std::int64_t>() == r.parameters);
}

TEST_CASE("what is not a number is null in JSON", "[report][json]") {
  RunReport r = example("fsdp", 32577.0, true);
  r.tokens_per_second = std::numeric_limits<double>::infinity();
  r.mfu = std::numeric_limits<double>::quiet_NaN();
  const json j = json::parse(run_json(r));
  CHECK(j.at("tokens_per_second").is_null());
  CHECK(j.at("mfu").is_null());
}

TEST_CASE("plans are ordered by throughput, those that fit first", "[report][compare]") {
  const std::vector<RunReport> reports{example("slow", 100, true), example("huge", 1000, false),
                                       example("fast", 200, true)};
  const json j = json::parse(compare_json(reports));
  CHECK(j.at("schema") == "rehearse.compare/1");
  REQUIRE(j.at("runs").size() == 3);
  CHECK(j.at("runs").at(0).at("plan") == "fast");
  CHECK(j.at("runs").at(1).at("plan") == "slow");
  CHECK(j.at("runs").at(2).at("plan") == "huge");
}

TEST_CASE("a report for the terminal fits its width", "[report][text]") {
  require_tidy(run_text(example("fsdp", 32577.0, true)));
  RunReport r = example("fsdp", 32577.0, false);
  r.memory_advice = {std::string("activations are 120 GB of it; recompute: full would take them ") +
                     "to 4.2 GB, tensor_parallel: 2 to 60 GB, and both together to 2.1 GB"};
  require_tidy(run_text(r));
  require_tidy(compare_text(
      {r, example("tp4", 30000.0, true), example("a-name-of-18-bytes", 31000.0, true)}));
}

TEST_CASE("a report names both conventions of the bubble", "[report][text]") {
  const std::string text = run_text(example("fsdp", 32577.0, true));
  CHECK(text.find("over total 20.0 %, over ideal 25.0 %") != std::string::npos);
}

TEST_CASE("a plan that does not fit says so before its numbers", "[report][text]") {
  RunReport r = example("fsdp", 32577.0, false);
  r.memory_advice = {"recompute: full"};
  const std::string text = run_text(r);
  const std::size_t verdict = text.find("DOES NOT FIT IN MEMORY");
  REQUIRE(verdict != std::string::npos);
  CHECK(verdict < text.find("step time"));
  CHECK(text.find("recompute: full") < text.find("step time"));
}

TEST_CASE("a comparison names the winner and what makes the difference", "[report][compare]") {
  RunReport winner = example("fsdp", 40000, true);
  RunReport second = example("tp4", 20000, true);
  second.breakdown = winner.breakdown;
  second.breakdown.exposed_communication += second.step_time - winner.step_time;
  const std::string text = compare_text({second, winner, example("ddp", 90000, false)});
  CHECK(
      text.find("fsdp is the fastest that fits: 100.0 % more tokens/s than tp4, mostly because") !=
      std::string::npos);
  CHECK(text.find("exposed communication") != std::string::npos);
  CHECK(text.find("do not fit in memory:") < text.find("\nddp"));
}

TEST_CASE("a comparison in which nothing fits says which plan comes nearest", "[report][compare]") {
  RunReport smaller = example("smaller", 10, false);
  smaller.peak_reserved = Bytes(160000000000);
  RunReport larger = example("larger", 20, false);
  larger.peak_reserved = Bytes(200000000000);
  CHECK(compare_text({larger, smaller}).find("No plan fits in memory; smaller comes nearest") !=
        std::string::npos);
}

TEST_CASE("long plan names move below the table", "[report][compare]") {
  const std::string name = "plan.tensor_parallel=4, training.recompute=full, plan.zero_stage=3";
  const std::string text = compare_text({example(name, 10, true), example("b", 9, true)});
  require_tidy(text);
  CHECK(text.find("#1  " + name) != std::string::npos);
}

TEST_CASE("every report format writes both a run and a comparison", "[report][formats]") {
  const RunReport r = example("fsdp", 32577.0, true);
  REQUIRE(report_formats().size() >= 2);
  for (const ReportFormat& format : report_formats()) {
    INFO(format.name);
    CHECK(!format.summary.empty());
    CHECK(format.run(r).find("llama3-8b") != std::string::npos);
    CHECK(format.compare({r}).find("fsdp") != std::string::npos);
  }
}
