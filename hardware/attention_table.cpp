#include "hardware/attention_table.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "hardware/table_bytes.hpp"

namespace rehearse {

namespace {

constexpr std::string_view kMagic = "RHATTN1\n";
constexpr std::size_t kMostCells = 1U << 24U;

double log2_of(std::int64_t v) { return std::log2(static_cast<double>(v)); }

}  // namespace

std::size_t AttentionGrid::cells() const {
  std::size_t count = 1;
  for (const auto& axis : axes) count *= axis.size();
  return count;
}

std::string encode(const AttentionGrid& grid) {
  std::string out(kMagic);
  put_f32(out, grid.overhead_s);
  for (const auto& axis : grid.axes) put_u32(out, static_cast<std::int64_t>(axis.size()));
  for (const auto& axis : grid.axes) {
    for (const std::int64_t size : axis) put_u32(out, size);
  }
  for (const std::int16_t value : grid.values) put_i16(out, value);
  return out;
}

AttentionGrid decode_attention_grid(const std::string& bytes) {
  TableReader in(bytes);
  in.magic(kMagic);
  AttentionGrid grid;
  grid.overhead_s = in.f32();
  std::array<std::uint32_t, AttentionGrid::kAxes> counts{};
  for (std::uint32_t& count : counts) count = in.count();
  for (std::size_t a = 0; a < AttentionGrid::kAxes; ++a) grid.axes[a] = in.sizes(counts[a]);
  if (grid.cells() > kMostCells) throw std::runtime_error("the grid is too large");
  grid.values.resize(grid.cells());
  for (std::int16_t& value : grid.values) value = in.i16();
  in.end();
  return grid;
}

double attention_yardstick(const AttentionMachine& machine, const AttentionWork& work,
                           double overhead_s, double flop_factor) {
  return flop_factor * flops(work).value / machine.flops_per_second +
         static_cast<double>(bytes(work).value) / machine.bytes_per_second + overhead_s;
}

AttentionInterpolator::AttentionInterpolator(AttentionGrid grid) : grid_(std::move(grid)) {
  for (std::size_t a = 0; a < AttentionGrid::kAxes; ++a) {
    for (const std::int64_t size : grid_.axes[a]) log2_sizes_[a].push_back(log2_of(size));
  }
}

double AttentionInterpolator::interpolate(
    std::size_t axis, std::size_t cell, const std::array<double, AttentionGrid::kAxes>& at) const {
  if (axis == AttentionGrid::kAxes) return static_cast<double>(grid_.values[cell]);
  const std::vector<double>& sizes = log2_sizes_[axis];
  const auto above = std::lower_bound(sizes.begin(), sizes.end(), at[axis]);
  const auto high = static_cast<std::size_t>(above - sizes.begin());
  const std::size_t first = cell * sizes.size();
  if (above == sizes.end()) return interpolate(axis + 1, first + sizes.size() - 1, at);
  const double upper = interpolate(axis + 1, first + high, at);
  if (high == 0 || *above <= at[axis]) return upper;
  const double lower = interpolate(axis + 1, first + high - 1, at);
  const double weight = (at[axis] - sizes[high - 1]) / (sizes[high] - sizes[high - 1]);
  return lower + weight * (upper - lower);
}

double AttentionInterpolator::ratio(const AttentionWork& work) const {
  const double queries = log2_of(work.length);
  const double keys = work.kv_length > 0 ? log2_of(work.kv_length) : queries;
  const double heads = log2_of(work.heads);
  const std::array<double, AttentionGrid::kAxes> at = {log2_of(work.head_size), log2_of(work.batch),
                                                       heads, heads - log2_of(work.kv_heads),
                                                       (queries + keys) / 2};
  return std::exp2(interpolate(0, 0, at) * kLog2Unit);
}

const AttentionInterpolator& AttentionTable::get() const {
  std::call_once(once_, [this] {
    loaded_ = std::make_unique<const AttentionInterpolator>(load_table(
        path_, mark_, [](const std::string& bytes) { return decode_attention_grid(bytes); }));
  });
  return *loaded_;
}

}  // namespace rehearse
