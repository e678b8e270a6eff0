#include "hardware/gemm_table.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "hardware/table_bytes.hpp"

namespace rehearse {

namespace {

constexpr std::string_view kMagic = "RHGEMM1\n";
constexpr std::int64_t kAlignment = 8;

}  // namespace

std::string encode(const GemmGrid& grid) {
  std::string out(kMagic);
  const GemmTiling& tiling = grid.tiling;
  for (const std::size_t count :
       {tiling.tiles.size(), tiling.splits.size(), grid.m.size(), grid.n.size(), grid.k.size()}) {
    put_u32(out, static_cast<std::int64_t>(count));
  }
  for (const double v : {tiling.exponent, tiling.quantised, tiling.overhead_s}) put_f32(out, v);
  for (const GemmTile& tile : tiling.tiles) {
    put_u32(out, tile.rows);
    put_u32(out, tile.columns);
  }
  for (const auto* axis : {&tiling.splits, &grid.m, &grid.n, &grid.k}) {
    for (const std::int64_t size : *axis) put_u32(out, size);
  }
  for (const std::int16_t value : grid.values) put_i16(out, value);
  return out;
}

GemmGrid decode_gemm_grid(const std::string& bytes) {
  TableReader in(bytes);
  in.magic(kMagic);
  const std::uint32_t tiles = in.count(), splits = in.count();
  const std::uint32_t m = in.count(), n = in.count(), k = in.count();
  GemmGrid grid;
  grid.tiling.exponent = in.f32();
  grid.tiling.quantised = in.f32();
  grid.tiling.overhead_s = in.f32();
  for (std::uint32_t i = 0; i < tiles; ++i) {
    const auto rows = static_cast<std::int64_t>(in.u32());
    const auto columns = static_cast<std::int64_t>(in.u32());
    if (rows < 1 || columns < 1) throw std::runtime_error("an empty tile");
    grid.tiling.tiles.push_back({rows, columns});
  }
  grid.tiling.splits = in.sizes(splits);
  grid.m = in.sizes(m);
  grid.n = in.sizes(n);
  grid.k = in.sizes(k);
  grid.values.resize(grid.m.size() * grid.n.size() * grid.k.size());
  for (std::int16_t& value : grid.values) value = in.i16();
  in.end();
  return grid;
}

GemmInterpolator::GemmInterpolator(GemmGrid grid)
    : grid_(std::move(grid)),
      yardstick_(grid_.tiling),
      aligned_m_(axis_of(grid_.m, true)),
      any_m_(axis_of(grid_.m, false)),
      n_(axis_of(grid_.n, false)),
      k_(axis_of(grid_.k, false)) {}

GemmInterpolator::Axis GemmInterpolator::axis_of(const std::vector<std::int64_t>& sizes,
                                                 bool aligned_only) {
  Axis axis;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    if (aligned_only && sizes[i] % kAlignment != 0) continue;
    axis.size.push_back(sizes[i]);
    axis.log2_size.push_back(std::log2(static_cast<double>(sizes[i])));
    axis.index.push_back(i);
  }
  return axis;
}

GemmInterpolator::Bracket GemmInterpolator::bracket(const Axis& axis, std::int64_t size) {
  const auto above = std::lower_bound(axis.size.begin(), axis.size.end(), size);
  if (above == axis.size.end()) return {axis.index.back(), axis.index.back(), 0};
  const auto high = static_cast<std::size_t>(above - axis.size.begin());
  if (high == 0 || *above == size) return {axis.index[high], axis.index[high], 0};
  const double x = std::log2(static_cast<double>(size));
  const double low_x = axis.log2_size[high - 1];
  const double weight = (x - low_x) / (axis.log2_size[high] - low_x);
  return {axis.index[high - 1], axis.index[high], weight};
}

double GemmInterpolator::log2_ratio(std::int64_t m, std::int64_t n, std::int64_t k) const {
  const bool aligned = m % kAlignment == 0 && !aligned_m_.size.empty();
  const Bracket bm = bracket(aligned ? aligned_m_ : any_m_, m);
  const Bracket bn = bracket(n_, n);
  const Bracket bk = bracket(k_, k);
  const auto along_k = [&](std::size_t im, std::size_t in) {
    const double low = static_cast<double>(grid_.values[grid_.index(im, in, bk.low)]);
    const double high = static_cast<double>(grid_.values[grid_.index(im, in, bk.high)]);
    return low + bk.weight * (high - low);
  };
  const auto along_n = [&](std::size_t im) {
    const double low = along_k(im, bn.low);
    return bn.weight > 0 ? low + bn.weight * (along_k(im, bn.high) - low) : low;
  };
  const double low = along_n(bm.low);
  const double value = bm.weight > 0 ? low + bm.weight * (along_n(bm.high) - low) : low;
  return value * kLog2Unit;
}

GemmRoofline GemmInterpolator::operator()(const GemmMachine& machine, const GemmWork& work) const {
  GemmRoofline r = yardstick_(machine, work);
  const double measured = std::exp2(log2_ratio(work.m * work.batch, work.n, work.k));
  r.compute_s *= measured;
  r.memory_s *= measured;
  r.overhead_s *= measured;
  return r;
}

const GemmInterpolator& GemmTable::get() const {
  std::call_once(once_, [this] {
    loaded_ = std::make_unique<const GemmInterpolator>(
        load_table(path_, mark_, [](const std::string& bytes) { return decode_gemm_grid(bytes); }));
  });
  return *loaded_;
}

}  // namespace rehearse
