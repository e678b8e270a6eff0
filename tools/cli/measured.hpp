#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/base/quantity.hpp"
#include "sim/config/scenario.hpp"
#include "sim/report/kernel_class.hpp"

namespace rehearse {

// One measured training run and the scenario that it is.
struct MeasuredRun {
  std::string name;
  std::string series;  // what a file divides its runs into: "gpu" or "host" bound, a table, ...
  std::string rivals;  // runs with the same text are plans for the same task, ranked by their time
  bool out_of_memory = false;
  std::optional<Seconds> step;                        // mean over repeats
  std::optional<Bytes> peak;                          // allocated, largest over ranks
  std::optional<Bytes> reserved;                      // likewise
  std::optional<Bytes> before_steps;                  // allocated on rank 0 before the first
  std::vector<std::pair<int, KernelTotals>> kernels;  // of profiled ranks; may be empty
  std::vector<Scenario> scenario;  // one; empty when this version cannot simulate the run
  std::string refused;             // the reason, then
};

// Reads a file of measured runs: JSON lines of calibration/measure_steps.py (tests/data/measured),
// or a YAML table of published runs (tests/data/published/README.md).
// Throws UserError for a file that is neither.
std::vector<MeasuredRun> read_measured(const std::string& path);

// The YAML table.
std::vector<MeasuredRun> read_published(const std::string& path);

}  // namespace rehearse
