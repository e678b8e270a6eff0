#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hardware/work.hpp"
#include "sim/base/error.hpp"

namespace rehearse {

// Measured times of fused causal attention, forward, on a grid of (head size, batch, query heads,
// query heads per key head, length), as log2(time / yardstick) with
//   yardstick = FLOPs / peak + least traffic / bandwidth + overhead.
// Interpolated linearly in log2 of each size; beyond the grid it keeps the edge's value.
//
// File (little-endian): "RHATTN1\n"; f32 overhead in s; u32 sizes of the five axes; the axes as
// u32; int16 values in units of 1/4096, the last axis fastest.
struct AttentionGrid {
  static constexpr std::size_t kAxes = 5;
  enum Axis : std::size_t { kHeadSize, kBatch, kHeads, kGroup, kLength };

  double overhead_s = 0;
  std::array<std::vector<std::int64_t>, kAxes> axes;  // each ascending
  std::vector<std::int16_t> values;

  std::size_t cells() const;
};

std::string encode(const AttentionGrid& grid);
// Throws std::runtime_error with the reason when `bytes` is not such a file.
AttentionGrid decode_attention_grid(const std::string& bytes);

struct AttentionMachine {
  double flops_per_second = 0;
  double bytes_per_second = 0;
};

// Seconds of the yardstick. `flop_factor` stretches its FLOPs: backward kernels reach less.
double attention_yardstick(const AttentionMachine& machine, const AttentionWork& work,
                           double overhead_s, double flop_factor);

// A grid ready for queries.
class AttentionInterpolator {
 public:
  explicit AttentionInterpolator(AttentionGrid grid);

  // Measured time over the yardstick's. Queries and keys of different number count as their
  // geometric mean.
  double ratio(const AttentionWork& work) const;
  const AttentionGrid& grid() const { return grid_; }

 private:
  double interpolate(std::size_t axis, std::size_t cell,
                     const std::array<double, AttentionGrid::kAxes>& at) const;

  AttentionGrid grid_;
  std::array<std::vector<double>, AttentionGrid::kAxes> log2_sizes_;
};

// Read when it is first asked, as GemmTable is.
class AttentionTable {
 public:
  AttentionTable(std::string path, Mark mark) : path_(std::move(path)), mark_(std::move(mark)) {}
  const AttentionInterpolator& get() const;

 private:
  std::string path_;
  Mark mark_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<const AttentionInterpolator> loaded_;
};

}  // namespace rehearse
