#include "tools/cli/calibrate/findings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include "calibration/fit/results.hpp"
#include "sim/report/writers/text_table.hpp"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

using CsvRow = std::map<std::string, std::string>;

// Plain comma-separated cells; nothing where there is no file.
std::vector<CsvRow> rows_of(const std::string& path) {
  std::vector<CsvRow> out;
  std::ifstream in(path);
  std::string line;
  std::vector<std::string> names;
  while (std::getline(in, line)) {
    std::vector<std::string> cells;
    std::istringstream split(line);
    for (std::string cell; std::getline(split, cell, ',');) cells.push_back(cell);
    if (names.empty()) {
      names = cells;
      continue;
    }
    CsvRow& row = out.emplace_back();
    for (std::size_t i = 0; i < std::min(names.size(), cells.size()); ++i) row[names[i]] = cells[i];
  }
  return out;
}

double number(const CsvRow& row, const std::string& key) {
  const auto it = row.find(key);
  return it == row.end() ? 0 : std::strtod(it->second.c_str(), nullptr);
}

std::string text(const CsvRow& row, const std::string& key) {
  const auto it = row.find(key);
  return it == row.end() ? std::string() : it->second;
}

class Findings {
 public:
  Findings(const std::string& results, const Gpu& gpu) : results_(results), gpu_(gpu) {}

  std::string table() {
    products();
    attention();
    memory();
    launches();
    collectives();
    return table_.to_string("");
  }

 private:
  void add(const std::string& what, double value, const char* unit, double datasheet) {
    if (value <= 0) return;
    table_.add_row({what, fmt::format("{:.4g} {}", value, unit),
                    datasheet > 0 ? fmt::format("{:.4g} {}", datasheet, unit) : "-",
                    datasheet > 0 ? format_percent(value / datasheet) : "-"});
  }
  std::vector<MeasuredCall> calls(const char* file) const {
    const std::string path = results_ + "/" + file;
    return fs::exists(path) ? read_calls(path) : std::vector<MeasuredCall>();
  }

  void products() {
    std::map<DType, double> best;
    for (const MeasuredCall& c : calls("gemm.csv")) {
      const auto dtype = dtype_from_string(c.dtype);
      if (c.op != "linear" || c.direction != "forward" || !dtype) continue;
      const double flops = 2.0 * static_cast<double>(c.number("m") * c.number("n") * c.number("k"));
      best[*dtype] = std::max(best[*dtype], flops / c.microseconds * 1e-6);
    }
    for (const auto& [dtype, tflops] : best)
      add(fmt::format("matrix products, {}", to_string(dtype)), tflops, "TFLOP/s",
          gpu_.peak_of(dtype).value * 1e-12);
  }

  void attention() {
    std::map<std::string, double> best;
    for (const MeasuredCall& c : calls("attention.csv")) {
      if (c.dtype != "bf16") continue;
      const double pairs = 0.5 * static_cast<double>(c.number("batch") * c.number("heads")) *
                           static_cast<double>(c.number("length") * c.number("length"));
      const double products = c.direction == "backward" ? 10 : 4;
      const double flops = products * pairs * static_cast<double>(c.number("head_size"));
      best[c.direction] = std::max(best[c.direction], flops / c.microseconds * 1e-6);
    }
    for (const char* direction : {"forward", "backward"})
      add(fmt::format("causal attention {}, bf16", direction), best[direction], "TFLOP/s",
          gpu_.peak_of(DType::kBf16).value * 1e-12);
  }

  void memory() {
    std::map<std::string, double> best;
    for (const CsvRow& r : rows_of(results_ + "/bandwidth.csv"))
      if (number(r, "moved_bytes") > 4.0 * static_cast<double>(gpu_.l2.value))
        best[text(r, "access")] = std::max(best[text(r, "access")], number(r, "gbytes_per_s"));
    for (const auto& [access, rate] : best)
      add("memory, " + access, rate, "GB/s", gpu_.memory_bandwidth.value * 1e-9);
  }

  void launches() {
    std::map<std::string, double> least;
    for (const CsvRow& r : rows_of(results_ + "/launch.csv")) {
      const double us = number(r, "median_us");
      const auto [it, added] = least.emplace(text(r, "what"), us);
      if (!added) it->second = std::min(it->second, us);
    }
    add("host time of a launch", least["host_launch"], "us", 0);
    add("one empty kernel to the next", least["gap_stream"], "us", 0);
    double clock = 0;
    for (const CsvRow& r : rows_of(results_ + "/clocks.csv")) clock = number(r, "sm_mhz");
    add("clock under products at the end of clocks.csv", clock, "MHz", gpu_.boost_clock_hz * 1e-6);
  }

  void collectives() {
    std::map<std::string, double> best;
    for (const CsvRow& r : rows_of(results_ + "/collectives.csv"))
      best[text(r, "operation")] =
          std::max(best[text(r, "operation")], number(r, "bus_gbytes_per_s"));
    for (const auto& [operation, rate] : best) add(operation + ", bus", rate, "GB/s", 0);
  }

  const std::string& results_;
  const Gpu& gpu_;
  TextTable table_{{{"best measured", TextTable::Align::kLeft},
                    {"", TextTable::Align::kRight},
                    {"datasheet", TextTable::Align::kRight},
                    {"reached", TextTable::Align::kRight}}};
};

}  // namespace

std::string findings(const std::string& results, const Gpu& gpu) {
  return Findings(results, gpu).table();
}

}  // namespace rehearse
