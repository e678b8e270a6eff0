#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rehearse {

// A pipeline over time as papers draw it: a row a rank, a bar an action, with the number of its
// micro-batch. Bars are told apart by what fills them, and by colour on a terminal.

enum class BarKind : std::uint8_t { kForward, kBackward, kInputs, kWeights, kOptimizer };

struct ChartBar {
  std::int64_t begin = 0, end = 0;  // picoseconds
  BarKind kind{};
  int micro_batch = 0;
  int chunk = 0;  // of its rank, from 0; chunks alternate in what fills them
};

struct ChartRow {
  std::string label;
  std::vector<ChartBar> bars;  // in order of time, apart
};

struct ChartStyle {
  int width = 100;  // columns, at least 20
  bool colour = false;
};

// A column is at most what leaves the median forward two columns; where that is more than `width`,
// the chart goes on below, in up to eight strips.
std::string pipeline_chart(const std::vector<ChartRow>& rows, const ChartStyle& style);

}  // namespace rehearse
