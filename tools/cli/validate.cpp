#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/base/format.hpp"
#include "sim/report/run_report.hpp"
#include "tools/cli/command.hpp"
#include "tools/cli/error_summary.hpp"
#include "tools/cli/kernel_comparison.hpp"
#include "tools/cli/measured.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

struct Options {
  std::vector<std::string> files;
  std::string json;
  double max_mean = 0;
  bool kernels = false;
};

struct Row {
  MeasuredRun run;
  RunReport report;
  double step_error = 0, peak_error = 0, reserved_error = 0;  // (predicted - measured) / measured
  std::optional<KernelComparison> kernels;                    // where asked for
};

double error_of(double predicted, double measured) { return (predicted - measured) / measured; }

Row validate_run(MeasuredRun run, bool kernels) {
  Row row;
  row.run = std::move(run);
  if (row.run.scenario.empty()) return row;
  SimulationOptions options;
  options.merge = !kernels;
  const Simulation simulation = simulate(row.run.scenario.front(), options);
  row.report = simulation.report;
  if (kernels) row.kernels = compare_kernels(row.run, simulation);
  if (row.run.step) row.step_error = error_of(row.report.step_time.value, row.run.step->value);
  const auto bytes = [](Bytes p, const std::optional<Bytes>& m) {
    return m ? error_of(static_cast<double>(p.value), static_cast<double>(m->value)) : 0;
  };
  row.peak_error = bytes(row.report.peak_memory, row.run.peak);
  row.reserved_error = bytes(row.report.peak_reserved, row.run.reserved);
  return row;
}

std::vector<ErrorSummary> summaries(const std::vector<Row>& rows) {
  std::vector<double> gpu, host, all, peak, reserved;
  for (const Row& r : rows) {
    if (r.run.scenario.empty() || !r.run.step) continue;
    all.push_back(r.step_error);
    (r.run.bound == "host" ? host : gpu).push_back(r.step_error);
    if (r.run.peak) peak.push_back(r.peak_error);
    if (r.run.reserved) reserved.push_back(r.reserved_error);
  }
  std::vector<ErrorSummary> out{summarise("step time", all)};
  if (!host.empty()) {
    out.push_back(summarise("  bound by the GPU", gpu));
    out.push_back(summarise("  bound by the host", host));
  }
  out.push_back(summarise("peak allocated", peak));
  out.push_back(summarise("peak reserved", reserved));
  return out;
}

std::string row_text(const Row& r, std::size_t width) {
  const std::string name = fmt::format("{:<{}}", r.run.name, width);
  if (r.run.scenario.empty()) return fmt::format("{}  not simulated: {}\n", name, r.run.refused);
  if (r.run.out_of_memory)
    return fmt::format("{}  measured: out of memory; predicted: {}\n", name,
                       r.report.fits ? "fits  (WRONG)" : "does not fit");
  return fmt::format("{} {:>10} {:>10} {:>+7.1f} % {:>10} {:>10} {:>+7.1f} % {:>+7.1f} %{}\n", name,
                     format_seconds(*r.run.step), format_seconds(r.report.step_time),
                     100 * r.step_error, r.run.peak ? format_bytes(*r.run.peak) : "-",
                     format_bytes(r.report.peak_memory), 100 * r.peak_error, 100 * r.reserved_error,
                     r.report.fits ? "" : "  predicted not to fit (WRONG)");
}

void print(const std::vector<Row>& rows) {
  std::size_t width = 4;
  for (const Row& r : rows) width = std::max(width, r.run.name.size());
  fmt::print("{:<{}} {:>10} {:>10} {:>9} {:>10} {:>10} {:>9} {:>9}\n", "run", width, "measured",
             "predicted", "step", "measured", "predicted", "peak", "reserved");
  for (const Row& r : rows) fmt::print("{}", row_text(r, width));
  fmt::print("\n{}", summary_table(summaries(rows)));
}

std::vector<NamedComparison> comparisons(const std::vector<Row>& rows) {
  std::vector<NamedComparison> out;
  for (const Row& r : rows)
    if (r.kernels) out.push_back({r.run.name, *r.kernels});
  return out;
}

std::string json_text(const std::vector<Row>& rows) {
  nlohmann::ordered_json out{{"schema", "rehearse.validate/1"}, {"runs", nlohmann::json::array()}};
  for (const Row& r : rows) {
    nlohmann::ordered_json j{{"name", r.run.name}, {"bound", r.run.bound}};
    if (r.run.scenario.empty()) {
      j["not_simulated"] = r.run.refused;
    } else {
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
    }
    out["runs"].push_back(std::move(j));
  }
  out["summary"] = summary_json(summaries(rows));
  const auto kernels = comparisons(rows);
  if (!kernels.empty()) out["kernel_summary"] = kernel_summary_json(kernels);
  return out.dump(2) + "\n";
}

int validate(const Options& o) {
  if (!o.json.empty()) check_output(o.json);
  std::vector<Row> rows;
  for (const std::string& file : o.files)
    for (MeasuredRun& run : read_measured(file))
      rows.push_back(validate_run(std::move(run), o.kernels));
  if (!o.json.empty()) write_output(o.json, json_text(rows));
  if (o.json != "-") {
    print(rows);
    if (o.kernels) fmt::print("\n{}", kernel_table(comparisons(rows)));
  }
  return o.max_mean > 0 && 100 * summaries(rows).front().mean > o.max_mean ? kExitCheckFailed
                                                                           : kExitDone;
}

}  // namespace

void setup_validate(CLI::App& sub, std::function<int()>& action) {
  auto o = std::make_shared<Options>();
  sub.add_option("files", o->files, "files of measured runs (JSON lines)")->required();
  sub.add_option("--json", o->json, "writes the comparison as JSON ('-' is stdout)");
  sub.add_flag("--kernels", o->kernels,
               "totals by kernel class beside those of the profiled steps of the files");
  sub.add_option("--max-mean", o->max_mean,
                 "exits 1 when the mean error of the step time is larger, in percent");
  action = [o] { return validate(*o); };
}

}  // namespace rehearse
