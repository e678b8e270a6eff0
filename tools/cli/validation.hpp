#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sim/report/run_report.hpp"
#include "tools/cli/error_summary.hpp"
#include "tools/cli/kernel_comparison.hpp"
#include "tools/cli/measured.hpp"
#include "tools/cli/memory_report.hpp"

namespace rehearse {

// A measured run beside what is predicted for it. Errors are (predicted - measured) / measured.
struct ValidatedRun {
  MeasuredRun run;
  RunReport report;
  double step_error = 0, peak_error = 0, reserved_error = 0;
  std::optional<KernelComparison> kernels;  // where asked for

  bool simulated() const { return !run.scenario.empty(); }
  bool timed() const { return simulated() && run.step.has_value(); }
};

struct ValidationOptions {
  int jobs = 1;          // runs simulated at the same time
  bool kernels = false;  // compare totals by kernel class
};

// Whether the process of a run had trained before: the workspaces of its products, which stay
// allocated for good, were there before the first step.
Process process_of(const MeasuredRun& run, const Simulation& simulation);

// What models before it in that process had not given back, beyond those: it is in the peaks.
Bytes left_over(const MeasuredRun& run, const Simulation& simulation);

// Simulates every run; the order is kept. A plan that cannot be simulated becomes
// a refused run.
std::vector<ValidatedRun> validate_runs(std::vector<MeasuredRun> runs,
                                        const ValidationOptions& options = {});

// The step time over all runs, over each series where there are several, then memory.
std::vector<ErrorSummary> summaries(const std::vector<ValidatedRun>& runs);

// Of the timed runs, how many lie in the interval that nine of ten should lie in.
struct Coverage {
  std::size_t inside = 0, runs = 0;
};
Coverage interval_coverage(const std::vector<ValidatedRun>& runs);

// How well the predicted times order the plans for one task, over the tasks with at least three:
// Spearman's rank correlation, ties sharing their mean rank.
struct RankSummary {
  std::size_t tasks = 0;
  double mean = 0, lowest = 0;
};

double rank_correlation(const std::vector<double>& a, const std::vector<double>& b);
RankSummary rank_summary(const std::vector<ValidatedRun>& runs);

}  // namespace rehearse
