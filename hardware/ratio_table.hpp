#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "sim/base/error.hpp"

namespace rehearse {

// Ratios of times, as log2, on a grid of sizes: how much longer kernels take than another model
// says. Interpolated linearly in log2 of each size; beyond the grid it keeps the edge's value.
//
// File (little-endian): "RHRATIO1"; u32 axes; u32 sizes of each; the axes as u32, ascending; int16
// values in units of 1/4096, the last axis fastest.
struct RatioGrid {
  static constexpr std::size_t kMostAxes = 4;

  std::vector<std::vector<std::int64_t>> axes;
  std::vector<std::int16_t> values;

  std::size_t cells() const;
};

std::string encode(const RatioGrid& grid);
// Throws std::runtime_error with the reason when `bytes` is not such a file.
RatioGrid decode_ratio_grid(const std::string& bytes);

// A grid ready for queries, well under a microsecond each.
class RatioInterpolator {
 public:
  explicit RatioInterpolator(RatioGrid grid);

  // One size an axis.
  double log2_ratio(std::span<const std::int64_t> sizes) const;
  const RatioGrid& grid() const { return grid_; }

 private:
  struct Bracket {
    std::size_t low, high;
    double weight;  // of high
  };
  static Bracket bracket(const std::vector<std::int64_t>& sizes, std::int64_t size);
  double interpolate(std::size_t axis, std::size_t cell, const Bracket* at) const;

  RatioGrid grid_;
};

// Read when it is first asked, as GemmTable is.
class RatioTable {
 public:
  // `axes`: how many the reader expects; another number is a damaged table.
  RatioTable(std::string path, Mark mark, std::size_t axes)
      : path_(std::move(path)), mark_(std::move(mark)), axes_(axes) {}
  const RatioInterpolator& get() const;

 private:
  std::string path_;
  Mark mark_;
  std::size_t axes_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<const RatioInterpolator> loaded_;
};

}  // namespace rehearse
