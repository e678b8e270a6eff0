#include "tools/cli/validation.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <map>
#include <numeric>
#include <thread>

namespace rehearse {
namespace {

double error_of(double predicted, double measured) { return (predicted - measured) / measured; }

// Allocated before the first step.
Bytes model_bytes(const Simulation& s) {
  const RankProgram& rank = s.program.ranks.front();
  return rank.parameters + rank.persistent_gradients + rank.buffers - s.runtime.workspace;
}

double error_of(Bytes predicted, const std::optional<Bytes>& measured) {
  return measured
             ? error_of(static_cast<double>(predicted.value), static_cast<double>(measured->value))
             : 0;
}

ValidatedRun validate_run(MeasuredRun run, bool kernels) {
  ValidatedRun out;
  out.run = std::move(run);
  if (out.run.scenario.empty()) return out;
  try {
    SimulationOptions options;
    options.merge = !kernels;
    Simulation simulation = simulate(out.run.scenario.front(), options);
    if (process_of(out.run, simulation) == Process::kTrainedBefore)
      report_memory(simulation, memory_of_ranks(simulation, true, Process::kTrainedBefore));
    out.report = simulation.report;
    const Bytes left = left_over(out.run, simulation);
    out.report.peak_memory += left;
    out.report.peak_reserved += left;
    if (kernels) out.kernels = compare_kernels(out.run, simulation);
  } catch (const UserError& e) {
    out.run.refused = e.diagnostics().front().message;
    out.run.scenario.clear();
    return out;
  }
  if (out.run.step) out.step_error = error_of(out.report.step_time.value, out.run.step->value);
  out.peak_error = error_of(out.report.peak_memory, out.run.peak);
  out.reserved_error = error_of(out.report.peak_reserved, out.run.reserved);
  return out;
}

std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> out(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    const double shared = static_cast<double>(i + end - 1) / 2;
    for (; i < end; ++i) out[order[i]] = shared;
  }
  return out;
}

}  // namespace

Process process_of(const MeasuredRun& run, const Simulation& simulation) {
  const Bytes workspaces = simulation.runtime.workspace;
  if (!run.before_steps || workspaces.value == 0) return Process::kFresh;
  const Bytes one(workspaces.value / 2);
  return *run.before_steps < model_bytes(simulation) + one ? Process::kFresh
                                                           : Process::kTrainedBefore;
}

Bytes left_over(const MeasuredRun& run, const Simulation& simulation) {
  const Bytes known = model_bytes(simulation) + simulation.runtime.workspace;
  const Bytes least(256 << 20);  // less may be rounding
  if (!run.before_steps || *run.before_steps < known + least) return Bytes(0);
  return *run.before_steps - known;
}

std::vector<ValidatedRun> validate_runs(std::vector<MeasuredRun> runs,
                                        const ValidationOptions& options) {
  std::vector<ValidatedRun> out(runs.size());
  std::vector<std::exception_ptr> failures(runs.size());
  std::atomic<std::size_t> next{0};
  const auto work = [&] {
    for (std::size_t i = next++; i < runs.size(); i = next++) {
      try {
        out[i] = validate_run(std::move(runs[i]), options.kernels);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    }
  };
  std::vector<std::thread> workers;
  for (int i = 1; i < options.jobs; ++i) workers.emplace_back(work);
  work();
  for (std::thread& t : workers) t.join();
  for (const std::exception_ptr& f : failures)
    if (f) std::rethrow_exception(f);
  return out;
}

std::vector<ErrorSummary> summaries(const std::vector<ValidatedRun>& runs) {
  std::vector<double> all, peak, reserved;
  std::map<std::string, std::vector<double>> series;
  for (const ValidatedRun& r : runs) {
    if (!r.simulated()) continue;
    if (r.timed()) {
      all.push_back(r.step_error);
      series[r.run.series].push_back(r.step_error);
    }
    if (r.run.peak) peak.push_back(r.peak_error);
    if (r.run.reserved) reserved.push_back(r.reserved_error);
  }
  std::vector<ErrorSummary> out;
  if (!all.empty() || peak.empty()) out.push_back(summarise("step time", all));
  if (series.size() > 1)
    for (const auto& [name, errors] : series)
      out.push_back(summarise("  " + (name.empty() ? "others" : name), errors));
  if (!peak.empty()) out.push_back(summarise("peak allocated", peak));
  if (!reserved.empty()) out.push_back(summarise("peak reserved", reserved));
  return out;
}

double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const std::vector<double> x = ranks(a), y = ranks(b);
  const double mean = (static_cast<double>(x.size()) - 1) / 2;
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    xy += (x[i] - mean) * (y[i] - mean);
    xx += (x[i] - mean) * (x[i] - mean);
    yy += (y[i] - mean) * (y[i] - mean);
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
}

RankSummary rank_summary(const std::vector<ValidatedRun>& runs) {
  std::map<std::string, std::pair<std::vector<double>, std::vector<double>>> tasks;
  for (const ValidatedRun& r : runs) {
    if (!r.timed() || r.run.rivals.empty()) continue;
    tasks[r.run.rivals].first.push_back(r.run.step->value);
    tasks[r.run.rivals].second.push_back(r.report.step_time.value);
  }
  RankSummary out;
  double sum = 0;
  for (const auto& [task, times] : tasks) {
    if (times.first.size() < 3) continue;
    const double rho = rank_correlation(times.first, times.second);
    out.lowest = out.tasks == 0 ? rho : std::min(out.lowest, rho);
    sum += rho;
    ++out.tasks;
  }
  if (out.tasks > 0) out.mean = sum / static_cast<double>(out.tasks);
  return out;
}

Coverage interval_coverage(const std::vector<ValidatedRun>& runs) {
  Coverage out;
  for (const ValidatedRun& r : runs) {
    if (!r.timed()) continue;
    ++out.runs;
    out.inside += *r.run.step >= r.report.step_low && *r.run.step <= r.report.step_high;
  }
  return out;
}

}  // namespace rehearse
