#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/base/format.hpp"
#include "tools/cli/command.hpp"
#include "tools/cli/validation.hpp"

namespace rehearse {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string json, only;
  bool summary = false;
  ValidationOptions validation;
  double max_mean = 0;
};

using Rows = std::vector<ValidatedRun>;

std::string row_text(const ValidatedRun& r, std::size_t width) {
  const std::string name = fmt::format("{:<{}}", r.run.name, width);
  if (!r.simulated()) return fmt::format("{}  not simulated: {}\n", name, r.run.refused);
  if (r.run.out_of_memory)
    return fmt::format("{}  measured: out of memory; predicted: {}\n", name,
                       r.report.fits ? "fits  (WRONG)" : "does not fit");
  const auto percent = [](bool known, double error) {
    return known ? fmt::format("{:>+7.1f} %", 100 * error) : fmt::format("{:>9}", "-");
  };
  return fmt::format(
      "{} {:>10} {:>10} {} {:>10} {:>10} {} {}{}\n", name,
      r.run.step ? format_seconds(*r.run.step) : "-", format_seconds(r.report.step_time),
      percent(r.timed(), r.step_error), r.run.peak ? format_bytes(*r.run.peak) : "-",
      format_bytes(r.report.peak_memory), percent(r.run.peak.has_value(), r.peak_error),
      percent(r.run.reserved.has_value(), r.reserved_error),
      r.report.fits ? "" : "  predicted not to fit (WRONG)");
}

void print_rows(const Rows& rows) {
  std::size_t width = 4;
  for (const ValidatedRun& r : rows) width = std::max(width, r.run.name.size());
  fmt::print("{:<{}} {:>10} {:>10} {:>9} {:>10} {:>10} {:>9} {:>9}\n", "run", width, "measured",
             "predicted", "step", "measured", "predicted", "peak", "reserved");
  for (const ValidatedRun& r : rows) fmt::print("{}", row_text(r, width));
  fmt::print("\n");
}

void print_summary(const Rows& rows) {
  fmt::print("{}", summary_table(summaries(rows)));
  const Coverage coverage = interval_coverage(rows);
  if (coverage.runs > 0)
    fmt::print("in the 90 % interval: {} of {} runs, {:.0f} %\n", coverage.inside, coverage.runs,
               100.0 * static_cast<double>(coverage.inside) / static_cast<double>(coverage.runs));
  const RankSummary ranks = rank_summary(rows);
  if (ranks.tasks > 0)
    fmt::print("rank correlation of plans: mean {:.3f}, lowest {:.3f} over {} tasks\n", ranks.mean,
               ranks.lowest, ranks.tasks);
  const auto refused =
      std::count_if(rows.begin(), rows.end(), [](const ValidatedRun& r) { return !r.simulated(); });
  if (refused > 0) fmt::print("not simulated: {}\n", refused);
}

std::vector<NamedComparison> comparisons(const Rows& rows) {
  std::vector<NamedComparison> out;
  for (const ValidatedRun& r : rows)
    if (r.kernels) out.push_back({r.run.name, *r.kernels});
  return out;
}

nlohmann::ordered_json row_json(const ValidatedRun& r) {
  nlohmann::ordered_json j{{"name", r.run.name}, {"series", r.run.series}};
  if (!r.simulated()) {
    j["not_simulated"] = r.run.refused;
    return j;
  }
  j["predicted_step_time_s"] = r.report.step_time.value;
  j["predicted_peak_memory_bytes"] = r.report.peak_memory.value;
  j["predicted_peak_reserved_bytes"] = r.report.peak_reserved.value;
  j["fits_in_memory"] = r.report.fits;
  j["measured_out_of_memory"] = r.run.out_of_memory;
  if (r.run.step) {
    j["measured_step_time_s"] = r.run.step->value;
    j["step_time_error"] = r.step_error;
  }
  if (r.run.peak) {
    j["measured_peak_memory_bytes"] = r.run.peak->value;
    j["peak_memory_error"] = r.peak_error;
  }
  if (r.run.reserved) {
    j["measured_peak_reserved_bytes"] = r.run.reserved->value;
    j["peak_reserved_error"] = r.reserved_error;
  }
  if (r.kernels)
    j["kernels"] = r.kernels->known ? kernel_json(*r.kernels) : nlohmann::ordered_json(nullptr);
  return j;
}

std::string json_text(const Rows& rows) {
  nlohmann::ordered_json out{{"schema", "rehearse.validate/1"}, {"runs", nlohmann::json::array()}};
  for (const ValidatedRun& r : rows) out["runs"].push_back(row_json(r));
  out["summary"] = summary_json(summaries(rows));
  const Coverage coverage = interval_coverage(rows);
  out["interval_coverage"] = {{"inside", coverage.inside}, {"runs", coverage.runs}};
  const auto kernels = comparisons(rows);
  if (!kernels.empty()) out["kernel_summary"] = kernel_summary_json(kernels);
  const RankSummary ranks = rank_summary(rows);
  if (ranks.tasks > 0)
    out["rank_correlation"] = {
        {"mean", ranks.mean}, {"lowest", ranks.lowest}, {"tasks", ranks.tasks}};
  return out.dump(2) + "\n";
}

int validate(const Options& o) {
  if (!o.json.empty()) check_output(o.json);
  Rows rows;
  for (const std::string& file : o.files) {
    std::vector<MeasuredRun> runs = read_measured(file);
    std::erase_if(runs, [&](const MeasuredRun& r) { return r.name.find(o.only) == r.name.npos; });
    if (runs.empty()) throw UserError({file, 0, 0}, "no run's name contains '" + o.only + "'");
    Rows of_file = validate_runs(std::move(runs), o.validation);
    if (o.files.size() > 1 && o.json != "-") {
      fmt::print("{}\n", file);
      if (!o.summary) print_rows(of_file);
      print_summary(of_file);
      fmt::print("\n");
    }
    rows.insert(rows.end(), std::make_move_iterator(of_file.begin()),
                std::make_move_iterator(of_file.end()));
  }
  if (!o.json.empty()) write_output(o.json, json_text(rows));
  if (o.json != "-") {
    if (o.files.size() > 1) fmt::print("all files\n");
    if (o.files.size() == 1 && !o.summary) print_rows(rows);
    print_summary(rows);
    if (o.validation.kernels) fmt::print("\n{}", kernel_table(comparisons(rows)));
  }
  return o.max_mean > 0 && 100 * summaries(rows).front().mean > o.max_mean ? kExitCheckFailed
                                                                           : kExitDone;
}

}  // namespace

void setup_validate(CLI::App& sub, std::function<int()>& action) {
  auto o = std::make_shared<Options>();
  sub.add_option("files", o->files, "files of measured runs (JSON lines, or YAML tables)")
      ->required();
  sub.add_option("--json", o->json, "writes the comparison as JSON ('-' is stdout)");
  sub.add_option("--only", o->only, "only runs whose name contains this");
  sub.add_flag("--summary", o->summary, "prints the summaries alone");
  sub.add_option("--jobs", o->validation.jobs, "runs simulated at the same time")
      ->check(CLI::PositiveNumber);
  sub.add_flag("--kernels", o->validation.kernels,
               "totals by kernel class beside those of the profiled steps of the files");
  sub.add_option("--max-mean", o->max_mean,
                 "exits 1 when the mean error of the step time is larger, in percent");
  action = [o] { return validate(*o); };
}

}  // namespace rehearse
