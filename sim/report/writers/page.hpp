#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sim/engine/annotations.hpp"
#include "sim/engine/replay.hpp"
#include "sim/report/run_report.hpp"

namespace rehearse {

// The page that --report writes: one HTML file that needs no network. What it draws with is built
// from tools/report_page and compiled in; this fills in its data.

// A kernel of the slowest rank at one shape.
struct PageKernel {
  std::string label, name;  // the operator, and the kernel as PyTorch's profiler names it
  std::int64_t count = 0;   // a step
  Seconds time{0};          // once
  Flops flops{0};
  Bytes bytes{0};  // least traffic
};

// What the page shows of a run beside its report and timeline.
struct PageDetails {
  std::vector<PageKernel> kernels;  // longest total time first
  std::string roof;                 // what the peak is of: "bf16"
  FlopsPerSecond peak{0};
  BytesPerSecond bandwidth{0};
  // Bytes a step from one rank (or host) to another; empty where there are too many.
  std::vector<std::string> places;
  std::vector<std::vector<double>> sent;
};

// Rows of a sweep: cells are numbers, texts or nothing, as JSON text.
struct PageSweep {
  std::string title;
  std::vector<std::string> keys;     // that vary
  std::vector<std::string> columns;  // all, the keys included
  std::vector<std::vector<std::string>> rows;
};

std::string run_page(const RunReport& report, const TaskGraph& graph, const Timeline& timeline,
                     const Annotations& notes, const PageDetails& details);
std::string compare_page(const std::vector<RunReport>& reports);
std::string sweep_page(const PageSweep& sweep);

}  // namespace rehearse
