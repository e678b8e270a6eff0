#include "hardware/ratio_table.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <string_view>

#include "hardware/table_bytes.hpp"

namespace rehearse {

namespace {

constexpr std::string_view kMagic = "RHRATIO1";
constexpr std::size_t kMostCells = 1U << 24U;

}  // namespace

std::size_t RatioGrid::cells() const {
  std::size_t count = 1;
  for (const auto& axis : axes) count *= axis.size();
  return count;
}

std::string encode(const RatioGrid& grid) {
  std::string out(kMagic);
  put_u32(out, static_cast<std::int64_t>(grid.axes.size()));
  for (const auto& axis : grid.axes) put_u32(out, static_cast<std::int64_t>(axis.size()));
  for (const auto& axis : grid.axes) {
    for (const std::int64_t size : axis) put_u32(out, size);
  }
  for (const std::int16_t value : grid.values) put_i16(out, value);
  return out;
}

RatioGrid decode_ratio_grid(const std::string& bytes) {
  TableReader in(bytes);
  in.magic(kMagic);
  const std::uint32_t axes = in.count();
  if (axes < 1 || axes > RatioGrid::kMostAxes) throw std::runtime_error("wrong number of axes");
  std::vector<std::uint32_t> counts(axes);
  for (std::uint32_t& count : counts) count = in.count();
  RatioGrid grid;
  for (const std::uint32_t count : counts) {
    grid.axes.push_back(in.sizes(count));
    if (grid.cells() > kMostCells) throw std::runtime_error("the grid is too large");
  }
  grid.values.resize(grid.cells());
  for (std::int16_t& value : grid.values) value = in.i16();
  in.end();
  return grid;
}

RatioInterpolator::RatioInterpolator(RatioGrid grid) : grid_(std::move(grid)) {}

RatioInterpolator::Bracket RatioInterpolator::bracket(const std::vector<std::int64_t>& sizes,
                                                      std::int64_t size) {
  const auto above = std::lower_bound(sizes.begin(), sizes.end(), size);
  if (above == sizes.end()) return {sizes.size() - 1, sizes.size() - 1, 0};
  const auto high = static_cast<std::size_t>(above - sizes.begin());
  if (high == 0 || *above == size) return {high, high, 0};
  const double low_size = static_cast<double>(sizes[high - 1]);
  const double weight = std::log2(static_cast<double>(size) / low_size) /
                        std::log2(static_cast<double>(*above) / low_size);
  return {high - 1, high, weight};
}

double RatioInterpolator::interpolate(std::size_t axis, std::size_t cell, const Bracket* at) const {
  if (axis == grid_.axes.size()) return static_cast<double>(grid_.values[cell]);
  const std::size_t first = cell * grid_.axes[axis].size();
  const Bracket& b = at[axis];
  const double low = interpolate(axis + 1, first + b.low, at);
  if (b.weight <= 0) return low;
  return low + b.weight * (interpolate(axis + 1, first + b.high, at) - low);
}

double RatioInterpolator::log2_ratio(std::span<const std::int64_t> sizes) const {
  if (sizes.size() != grid_.axes.size()) throw std::logic_error("one size an axis");
  std::array<Bracket, RatioGrid::kMostAxes> at{};
  for (std::size_t a = 0; a < sizes.size(); ++a) at[a] = bracket(grid_.axes[a], sizes[a]);
  return interpolate(0, 0, at.data()) * kLog2Unit;
}

const RatioInterpolator& RatioTable::get() const {
  std::call_once(once_, [this] {
    const auto decode = [this](const std::string& bytes) {
      RatioGrid grid = decode_ratio_grid(bytes);
      if (grid.axes.size() != axes_) throw std::runtime_error("wrong number of axes");
      return grid;
    };
    loaded_ = std::make_unique<const RatioInterpolator>(load_table(path_, mark_, decode));
  });
  return *loaded_;
}

}  // namespace rehearse
