#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "hardware/gemm_roofline.hpp"
#include "sim/base/error.hpp"

namespace rehearse {

// Measured times of matrix products on a grid of (m, n, k), as log2(time / yardstick): smooth where
// the yardstick is right. Between grid points it is interpolated linearly in log2 m, log2 n, log2
// k; beyond the grid it keeps the edge's value, so that time grows as the yardstick does. Sizes
// just above a round one (513) were measured too and are slower; a query that is a multiple of 8 is
// interpolated between such points only.
//
// File (little-endian): "RHGEMM1\n"; u32 tiles, splits, |m|, |n|, |k|; f32 exponent, quantised,
// overhead in s; tiles as u32 rows, columns; splits as u32; the grid's m, n, k as u32; then int16
// values in units of 1/4096, k fastest, then n.
struct GemmGrid {
  GemmTiling tiling;
  std::vector<std::int64_t> m, n, k;  // ascending
  std::vector<std::int16_t> values;   // [m][n][k]

  std::size_t index(std::size_t im, std::size_t in, std::size_t ik) const {
    return (im * n.size() + in) * k.size() + ik;
  }
};

std::string encode(const GemmGrid& grid);
// Throws std::runtime_error with the reason when `bytes` is not such a file.
GemmGrid decode_gemm_grid(const std::string& bytes);

// A grid ready for queries: under a microsecond each.
class GemmInterpolator {
 public:
  explicit GemmInterpolator(GemmGrid grid);

  // The yardstick's parts, each times measured time / yardstick.
  GemmRoofline operator()(const GemmMachine& machine, const GemmWork& work) const;
  const GemmGrid& grid() const { return grid_; }

 private:
  struct Axis {
    std::vector<std::int64_t> size;
    std::vector<double> log2_size;
    std::vector<std::size_t> index;  // into the grid's axis
  };
  struct Bracket {
    std::size_t low, high;
    double weight;  // of high
  };
  static Axis axis_of(const std::vector<std::int64_t>& sizes, bool aligned_only);
  static Bracket bracket(const Axis& axis, std::int64_t size);
  double log2_ratio(std::int64_t m, std::int64_t n, std::int64_t k) const;

  GemmGrid grid_;
  GemmYardstick yardstick_;
  Axis aligned_m_, any_m_, n_, k_;
};

// A table that is read when it is first asked, so that a command which prices no product of its
// type does not wait for it. Throws UserError (at the mark of the GPU file's field) when the file
// is missing or damaged.
class GemmTable {
 public:
  GemmTable(std::string path, Mark mark) : path_(std::move(path)), mark_(std::move(mark)) {}
  const GemmInterpolator& get() const;

 private:
  std::string path_;
  Mark mark_;
  mutable std::once_flag once_;
  mutable std::unique_ptr<const GemmInterpolator> loaded_;
};

}  // namespace rehearse
