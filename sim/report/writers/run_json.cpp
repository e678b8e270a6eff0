#include <cmath>
#include <nlohmann/json.hpp>

#include "sim/report/run_report.hpp"

namespace rehearse {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::array<const char*, kMemoryCategories> kCategoryNames{
    "parameters", "gradients", "optimizer_states", "activations", "temporary"};

// JSON has no infinity; a rate over a step of no time is not a number that a reader can use.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }
Json number(Seconds s) { return number(s.value); }

Json stage_json(const StageReport& stage) {
  Json at_peak = Json::object();
  for (std::size_t i = 0; i < kCategoryNames.size(); ++i) {
    at_peak[kCategoryNames[i]] = stage.at_peak[i].value;
  }
  return Json{{"pipeline_stage", stage.pipeline_stage},
              {"peak_memory_bytes", stage.peak_memory.value},
              {"peak_reserved_bytes", stage.peak_reserved.value},
              {"memory_at_peak_bytes", std::move(at_peak)}};
}

Json communication_json(const CommunicationRow& row) {
  return Json{{"operation", row.operation},
              {"group", row.group},
              {"count", row.count},
              {"payload_bytes", row.payload.value},
              {"wire_bytes_per_rank", row.wire_bytes_per_rank.value},
              {"time_s", number(row.time)},
              {"exposed_s", number(row.exposed)}};
}

Json breakdown_json(const Breakdown& parts) {
  return Json{{"compute", number(parts.compute)},
              {"exposed_communication", number(parts.exposed_communication)},
              {"pipeline_bubble", number(parts.pipeline_bubble)},
              {"host", number(parts.host)},
              {"optimizer", number(parts.optimizer)}};
}

Json simulation_json(const RunReport::Simulation& simulation) {
  return Json{{"tasks", simulation.tasks},
              {"events", simulation.events},
              {"wall_s", number(simulation.wall_s)},
              {"ranks", simulation.ranks},
              {"simulated_ranks", simulation.simulated_ranks},
              {"structure_hash", simulation.structure_hash},
              {"timing_hash", simulation.timing_hash}};
}

Json trials_json(const Trials& t) {
  Json times = Json::array();
  for (const Seconds s : t.step_times) times.push_back(number(s));
  return Json{{"count", t.step_times.size()},
              {"mean_step_time_s", number(t.mean)},
              {"confidence_95_s", Json::array({number(t.interval_low), number(t.interval_high)})},
              {"standard_deviation_s", number(t.deviation)},
              {"least_s", number(t.least)},
              {"most_s", number(t.most)},
              {"step_times_s", std::move(times)}};
}

Json goodput_json(const Goodput& g) {
  return Json{{"goodput", number(g.share)},
              {"tokens_per_second", number(g.tokens_per_second)},
              {"mean_time_between_failures_s", number(g.failures.mean_time_between)},
              {"checkpoint_time_s", number(g.failures.checkpoint)},
              {"restart_time_s", number(g.failures.restart)},
              {"checkpoint_interval_s", number(g.interval)},
              {"best_checkpoint_interval_s", number(g.best)},
              {"young_checkpoint_interval_s", number(g.young)}};
}

Json spread_json(const Spread& s) {
  return Json{{"mean", number(s.mean)},
              {"p50", number(s.p50)},
              {"p95", number(s.p95)},
              {"p99", number(s.p99)}};
}

void add_serving(Json& json, const ServingReport& s) {
  json["requests"] = s.requests;
  json["time_to_first_token_s"] = spread_json(s.first_token);
  json["time_per_output_token_s"] = spread_json(s.per_output_token);
  json["throughput_tokens_per_s"] = number(s.tokens_per_second);
  json["preemptions"] = s.preemptions;
  json["duration_s"] = number(s.duration);
  json["batch_utilisation"] = number(s.occupied);
  json["mean_batch"] = number(s.batch);
  json["mean_context"] = number(s.context);
}

// What has no price or power is null, not free.
void add_economics(Json& json, const RunReport& report) {
  const Economics& e = report.economics;
  const auto known = [](double value) { return value > 0 ? number(value) : Json(nullptr); };
  const TrainingRun step = training_run(report, static_cast<double>(report.tokens_per_step));
  const TrainingRun million = training_run(report, 1e6);
  json["power_per_gpu_w"] = known(e.power.value);
  json["pue"] = e.pue;
  json["energy_per_step_j"] = known(step.joules);
  json["energy_per_million_tokens_j"] = known(million.joules);
  json["price_per_gpu_hour"] = known(e.price_per_gpu_hour);
  json["cost_per_million_tokens"] = known(million.cost);
  if (e.training_tokens <= 0) return;
  const TrainingRun run = training_run(report, e.training_tokens);
  json["training"] = Json{{"tokens", run.tokens},
                          {"time_s", number(run.time)},
                          {"gpu_hours", number(run.gpu_hours)},
                          {"cost", known(run.cost)},
                          {"energy_j", known(run.joules)}};
}

Json report_json(const RunReport& report) {
  Json json{{"schema", "rehearse.run/1"},
            {"scenario", report.scenario},
            {"plan", report.plan_name},
            {"plan_summary", report.plan_text},
            {"model", report.model},
            {"cluster", report.cluster},
            {"gpu", report.gpu},
            {"runtime", report.runtime},
            {"precision", report.precision},
            {"task", report.task},
            {"gpus", report.gpus},
            {"tokens_per_step", report.tokens_per_step},
            {"step_time_s", number(report.step_time)},
            {"step_time_interval_s", {number(report.step_low), number(report.step_high)}},
            {"tokens_per_second", number(report.tokens_per_second)},
            {"tokens_per_second_per_gpu", number(report.tokens_per_second_per_gpu)},
            {"model_tflops_per_gpu", number(report.model_tflops_per_gpu)},
            {"mfu", number(report.mfu)},
            {"mfu_causal", number(report.mfu_causal)},
            {"hfu", number(report.hfu)},
            {"utilisation", number(report.utilisation)},
            {"parameters", report.parameters},
            {"trainable_parameters", report.trainable_parameters},
            {"fits_in_memory", report.fits},
            {"peak_memory_bytes", report.peak_memory.value},
            {"peak_reserved_bytes", report.peak_reserved.value},
            {"memory_overhead_bytes", report.memory_overhead.value},
            {"memory_capacity_bytes", report.memory_capacity.value}};
  if (report.kv_cache_peak.value > 0) json["kv_cache_peak_bytes"] = report.kv_cache_peak.value;
  if (report.serving) add_serving(json, *report.serving);
  add_economics(json, report);
  json["stages"] = Json::array();
  for (const StageReport& stage : report.stages) json["stages"].push_back(stage_json(stage));
  json["breakdown_s"] = breakdown_json(report.breakdown);
  json["bubble_over_total"] = number(bubble_over_total(report.breakdown));
  json["bubble_over_ideal"] = number(bubble_over_ideal(report.breakdown));
  json["communication"] = Json::array();
  for (const CommunicationRow& row : report.communication) {
    json["communication"].push_back(communication_json(row));
  }
  if (!report.trials.step_times.empty()) json["trials"] = trials_json(report.trials);
  if (report.goodput) json["goodput"] = goodput_json(*report.goodput);
  json["transfers"] = Json::array();
  for (const CarriedOver& t : report.transfers)
    json["transfers"].push_back(
        {{"what", t.what}, {"source", t.source}, {"share_of_step", number(t.share)}});
  json["memory_advice"] = report.memory_advice;
  json["simulation"] = simulation_json(report.simulation);
  return json;
}

// Names come from users' files, whatever bytes those hold.
std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string run_json(const RunReport& report) { return dump(report_json(report)); }

std::string compare_json(const std::vector<RunReport>& reports) {
  Json json{{"schema", "rehearse.compare/1"}, {"runs", Json::array()}};
  for (const RunReport* report : best_first(reports)) {
    json["runs"].push_back(report_json(*report));
  }
  return dump(json);
}

}  // namespace rehearse
