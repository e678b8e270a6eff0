#include "sim/report/writers/economics_text.hpp"

#include <fmt/format.h>

#include "sim/base/format.hpp"
#include "sim/report/run_report.hpp"
#include "sim/report/writers/text_table.hpp"

namespace rehearse {
namespace {

using Align = TextTable::Align;

constexpr double kMillion = 1e6;

std::string tokens_text(double tokens) {
  if (tokens >= 1e12) return fmt::format("{:.4g} T", tokens / 1e12);
  if (tokens >= 1e9) return fmt::format("{:.4g} B", tokens / 1e9);
  return format_count(static_cast<std::int64_t>(tokens));
}

std::string energy_or_dash(double joules) { return joules > 0 ? format_energy(joules) : "-"; }
std::string money_or_dash(double amount) { return amount > 0 ? format_money(amount) : "-"; }

}  // namespace

std::string economics_text(const RunReport& r) {
  const Economics& e = r.economics;
  const TrainingRun million = training_run(r, kMillion);
  std::string out;
  if (e.power.value > 0)
    out += wrap("energy          ",
                fmt::format("{:.0f} W per GPU, {} per million tokens (GPUs alone{})", e.power.value,
                            format_energy(million.joules),
                            e.pue > 1 ? fmt::format(", times PUE {}", e.pue) : ""));
  if (e.price_per_gpu_hour > 0)
    out += fmt::format("cost            {} per million tokens at {} a GPU-hour\n",
                       format_money(million.cost), e.price_per_gpu_hour);
  if (e.training_tokens <= 0) return out;
  const TrainingRun run = training_run(r, e.training_tokens);
  out += wrap(
      "training        ",
      fmt::format("{} tokens: {}, {} GPU-hours, cost {}, energy {}", tokens_text(run.tokens),
                  format_days(run.time), format_count(static_cast<std::int64_t>(run.gpu_hours)),
                  run.cost > 0 ? format_money(run.cost) : "not known without a price (--price)",
                  energy_or_dash(run.joules)));
  return out;
}

std::string economics_table(const std::vector<const RunReport*>& reports,
                            const std::vector<std::string>& labels) {
  const double tokens = reports.front()->economics.training_tokens;
  std::vector<TextTable::Column> columns{
      {"plan", Align::kLeft}, {"GPUs"}, {"W/GPU"}, {"energy/Mtok"}, {"cost/Mtok"}};
  if (tokens > 0)
    for (const char* title : {"time", "GPU-hours", "cost", "energy"}) columns.push_back({title});
  TextTable table(columns);
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const RunReport& r = *reports[i];
    const TrainingRun million = training_run(r, kMillion);
    std::vector<std::string> row{labels[i], std::to_string(r.gpus),
                                 fmt::format("{:.0f}", r.economics.power.value),
                                 energy_or_dash(million.joules), money_or_dash(million.cost)};
    if (tokens > 0) {
      const TrainingRun run = training_run(r, tokens);
      row.insert(row.end(),
                 {format_days(run.time), format_count(static_cast<std::int64_t>(run.gpu_hours)),
                  money_or_dash(run.cost), energy_or_dash(run.joules)});
    }
    table.add_row(std::move(row));
  }
  std::string out = "energy and cost";
  if (tokens > 0) out += fmt::format("; to train on {} tokens", tokens_text(tokens));
  out += "\n" + table.to_string("");
  if (reports.front()->economics.price_per_gpu_hour <= 0)
    out += "no price: --price, or price_per_gpu_hour in the cluster's file\n";
  return out;
}

}  // namespace rehearse
