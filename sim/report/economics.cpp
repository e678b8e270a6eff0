#include "sim/report/economics.hpp"

#include <fmt/format.h>

#include "sim/base/format.hpp"
#include "sim/report/run_report.hpp"

namespace rehearse {
namespace {

constexpr double kSecondsPerHour = 3600;
constexpr double kSecondsPerDay = 86400;

}  // namespace

TrainingRun training_run(const Economics& economics, double tokens, double tokens_per_second,
                         int gpus) {
  TrainingRun run;
  run.tokens = tokens;
  run.time = Seconds(tokens / tokens_per_second);
  const double gpu_seconds = run.time.value * gpus;
  run.gpu_hours = gpu_seconds / kSecondsPerHour;
  run.cost = run.gpu_hours * economics.price_per_gpu_hour;
  run.joules = gpu_seconds * economics.power.value * economics.pue;
  return run;
}

TrainingRun training_run(const RunReport& report, double tokens) {
  const double rate = report.goodput ? report.goodput->tokens_per_second : report.tokens_per_second;
  return training_run(report.economics, tokens, rate, report.gpus);
}

std::string format_energy(double joules) {
  const double kilowatt_hours = joules / 3.6e6;
  if (kilowatt_hours >= 1e6) return fmt::format("{:.2f} GWh", kilowatt_hours / 1e6);
  if (kilowatt_hours >= 1e3) return fmt::format("{:.2f} MWh", kilowatt_hours / 1e3);
  if (kilowatt_hours >= 0.1) return fmt::format("{:.2f} kWh", kilowatt_hours);
  return joules >= 1e3 ? fmt::format("{:.1f} kJ", joules / 1e3) : fmt::format("{:.1f} J", joules);
}

std::string format_days(Seconds time) {
  if (time.value < kSecondsPerHour) return format_seconds(time);
  if (time.value < kSecondsPerDay) return fmt::format("{:.1f} h", time.value / kSecondsPerHour);
  return fmt::format("{:.1f} days", time.value / kSecondsPerDay);
}

std::string format_money(double amount) {
  if (amount >= 1e6) return fmt::format("{:.2f} M", amount / 1e6);
  if (amount >= 1e4) return fmt::format("{:.1f} k", amount / 1e3);
  return amount >= 100 ? fmt::format("{:.0f}", amount) : fmt::format("{:.3g}", amount);
}

}  // namespace rehearse
