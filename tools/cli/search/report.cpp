#include "tools/cli/search/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "sim/base/format.hpp"
#include "sim/report/writers/text_table.hpp"

namespace rehearse {
namespace {

using Align = TextTable::Align;
using Json = nlohmann::ordered_json;

constexpr std::size_t kFrontRows = 12;

std::string counted(std::uint64_t n) { return format_count(static_cast<std::int64_t>(n)); }

double rate(const SearchResult& r, std::uint64_t plans) {
  return r.seconds > 0 ? static_cast<double>(plans) / r.seconds : 0;
}

std::string table_of(const SearchReport& report, const std::vector<FoundPlan>& plans,
                     std::size_t most) {
  const std::string name(report.objective->name);
  const bool other = name == "cost" || name == "energy";
  TextTable table({{"#"},
                   {"step"},
                   {"tokens/s/GPU"},
                   {"MFU %"},
                   {"memory"},
                   {other ? name : ""},
                   {"plan", Align::kLeft}});
  for (std::size_t i = 0; i < std::min(plans.size(), most); ++i) {
    const Evaluation& e = plans[i].evaluation;
    table.add_row({std::to_string(i + 1), format_seconds(e.step_time),
                   fmt::format("{:.1f}", e.tokens_per_second_per_gpu),
                   fmt::format("{:.1f}", 100 * e.mfu),
                   format_bytes(e.peak_reserved + e.memory_overhead),
                   other ? fmt::format("{:.4g}", plans[i].objective) : "",
                   report.space->label(report.space->choices()[plans[i].index])});
  }
  return table.to_string("  ");
}

Json plan_json(const SearchReport& report, const FoundPlan& plan) {
  const Choice& choice = report.space->choices()[plan.index];
  const Evaluation& e = plan.evaluation;
  Json settings = Json::object();
  for (const auto& [key, value] : report.space->settings(choice)) {
    const Json parsed = Json::parse(value, nullptr, false);
    settings[key] = parsed.is_discarded() ? Json(value) : parsed;
  }
  return Json{{"plan", report.space->label(choice)},
              {"settings", std::move(settings)},
              {"objective", plan.objective},
              {"gpus", e.gpus},
              {"step_time_s", e.step_time.value},
              {"tokens_per_second", e.tokens_per_second},
              {"tokens_per_second_per_gpu", e.tokens_per_second_per_gpu},
              {"mfu", e.mfu},
              {"peak_memory_bytes", e.peak_memory.value},
              {"peak_reserved_bytes", e.peak_reserved.value},
              {"memory_overhead_bytes", e.memory_overhead.value},
              {"memory_capacity_bytes", e.memory_capacity.value}};
}

std::string counts_text(const SearchReport& report) {
  const SearchResult& r = *report.result;
  const std::uint64_t all = report.space->choices().size();
  std::string out = fmt::format("{} plans in {:.1f} s, {:.0f}/s{}\n", counted(all), r.seconds,
                                rate(r, all), r.stopped ? "; stopped before the end" : "");
  const auto line = [&](std::uint64_t n, const std::string& what) {
    if (n > 0) out += fmt::format("{:>9}  {}\n", counted(n), what);
  };
  line(r.infeasible, "cannot be: their parts do not go together");
  line(r.too_large, "do not fit in memory, by their bound");
  line(r.bounded, "cannot be better than what was found, by their bound");
  line(r.simulated, fmt::format("simulated, of which {} do not fit", counted(r.out_of_memory)));
  return out;
}

}  // namespace

std::string search_text(const SearchReport& report) {
  const SearchResult& r = *report.result;
  std::string out = counts_text(report);
  if (r.best.empty()) return out + "\nno plan fits\n";
  out += fmt::format("\n{}: {}\n", report.objective->name, report.objective->summary);
  out += table_of(report, r.best, r.best.size());
  if (!report.runner_up.empty())
    out += wrap("", "the second is not the first: " + report.runner_up);
  if (!r.front.empty()) {
    out +=
        "\ntime and memory: no plan takes less of both\n" + table_of(report, r.front, kFrontRows);
    if (r.front.size() > kFrontRows)
      out += fmt::format("  and {} more (--json)\n", r.front.size() - kFrontRows);
  }
  std::string command = "rehearse run " + report.scenario;
  if (!report.plan.empty()) command += " --plan " + report.plan;
  for (const auto& [key, value] : report.space->settings(report.space->choices()[r.best[0].index]))
    command += fmt::format(" --set {}={}", key, value);
  return out + "\n" + command + "\n";
}

std::string search_json(const SearchReport& report) {
  const SearchResult& r = *report.result;
  Json json{{"schema", "rehearse.search/1"},
            {"scenario", report.scenario},
            {"objective", report.objective->name},
            {"plans", report.space->choices().size()},
            {"infeasible", r.infeasible},
            {"too_large", r.too_large},
            {"bounded", r.bounded},
            {"simulated", r.simulated},
            {"out_of_memory", r.out_of_memory},
            {"complete", !r.stopped},
            {"wall_s", r.seconds},
            {"plans_per_second", rate(r, report.space->choices().size())},
            {"best", Json::array()},
            {"runner_up", report.runner_up},
            {"front", Json::array()},
            {"reasons", Json::object()}};
  for (const FoundPlan& p : r.best) json["best"].push_back(plan_json(report, p));
  for (const FoundPlan& p : r.front) json["front"].push_back(plan_json(report, p));
  for (const auto& [reason, n] : r.reasons) json["reasons"][reason] = n;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace rehearse
