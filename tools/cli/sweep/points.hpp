#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/config/sweep.hpp"
#include "tools/cli/sweep/progress.hpp"
#include "tools/cli/sweep/result_file.hpp"
#include "tools/cli/sweep/row.hpp"
#include "tools/cli/sweep/summary.hpp"

namespace rehearse {

// The points of a sweep in order, without those that `where` leaves out.
class PointSource {
 public:
  PointSource(const Sweep& sweep, SweepSummary& summary) : sweep_(sweep), summary_(summary) {}

  std::optional<std::uint64_t> next();
  // Combinations that it has passed.
  std::uint64_t position() const { return position_; }

 private:
  const Sweep& sweep_;
  SweepSummary& summary_;
  std::uint64_t position_ = 0;
};

// Simulates a point and writes its row.
std::string evaluate_row(const Sweep& sweep, const RowWriter& rows, std::uint64_t point,
                         EvaluationCache& cache);

// Where rows go as they come, in any order: to the file in the order of their points.
class RowCollector {
 public:
  RowCollector(const RowWriter& rows, ResultFile& file, SweepSummary& summary, Progress& progress)
      : rows_(rows), file_(file), summary_(summary), progress_(progress) {}

  // `sequence` counts the points of this run from 0; `position` is for the progress.
  void put(std::uint64_t sequence, std::string row, std::uint64_t position);
  // Rows that are in the file.
  std::uint64_t written() const { return written_; }

 private:
  const RowWriter& rows_;
  ResultFile& file_;
  SweepSummary& summary_;
  Progress& progress_;
  std::uint64_t written_ = 0;
  std::map<std::uint64_t, std::string> waiting_;  // by sequence
};

// The ways to work through the points: threads of this process, or the ranks of an MPI job, of
// which the first hands out the points. Both stop early where Interrupt says so. At most
// kPointsAhead points a worker are under way and not yet written.
inline constexpr std::uint64_t kPointsAhead = 8;
void run_threads(const Sweep& sweep, const RowWriter& rows, PointSource& source,
                 RowCollector& collector, int jobs);

}  // namespace rehearse
