#include "hardware/gemm_roofline.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rehearse {

namespace {

constexpr double kFullTile = 128.0 * 256.0;
constexpr double kSliceOfK = 64;  // k is walked in slices; the last one is padded
constexpr double kPartialSumBytes = 4;
constexpr double kSplitOverhead = 1e-6;  // the reduction's own launch or barrier

double as_double(std::int64_t v) { return static_cast<double>(v); }

}  // namespace

std::int64_t waves(std::int64_t blocks, std::int64_t sms, std::int64_t occupancy) {
  const std::int64_t at_once = std::max<std::int64_t>(1, sms * occupancy);
  return (blocks + at_once - 1) / at_once;
}

GemmYardstick::GemmYardstick(const GemmTiling& tiling)
    : splits_(tiling.splits), quantised_(tiling.quantised), overhead_s_(tiling.overhead_s) {
  for (const GemmTile& tile : tiling.tiles) {
    const double area = as_double(tile.rows * tile.columns);
    const double efficiency = std::min(1.0, std::pow(area / kFullTile, tiling.exponent));
    cuts_.push_back({as_double(tile.rows), as_double(tile.columns), 2 * area / efficiency});
  }
}

double GemmYardstick::compute_seconds(const GemmMachine& machine, const GemmWork& work) const {
  const double batch = as_double(work.batch);
  const double m = as_double(work.m), n = as_double(work.n), k = as_double(work.k);
  if (cuts_.empty()) return 2 * batch * m * n * k / machine.flops_per_second;
  const double sms = as_double(machine.sm_count);
  const double sm_flops_per_second = machine.flops_per_second / sms;
  double best = std::numeric_limits<double>::infinity();
  for (const std::int64_t split : splits_) {
    const double depth = std::ceil(k / as_double(split) / kSliceOfK) * kSliceOfK;
    const double reduction = split == 1 ? 0
                                        : batch * m * n * kPartialSumBytes * as_double(split) /
                                                  (2 * machine.bytes_per_second) +
                                              kSplitOverhead;
    for (const Cut& cut : cuts_) {
      const double blocks =
          batch * std::ceil(m / cut.rows) * std::ceil(n / cut.columns) * as_double(split);
      const double whole = as_double(waves(static_cast<std::int64_t>(blocks), machine.sm_count, 1));
      const double rounds = quantised_ * whole + (1 - quantised_) * std::max(1.0, blocks / sms);
      best = std::min(best, rounds * cut.flops_per_k * depth / sm_flops_per_second + reduction);
    }
  }
  return best;
}

GemmRoofline GemmYardstick::operator()(const GemmMachine& machine, const GemmWork& work) const {
  GemmRoofline r;
  r.compute_s = compute_seconds(machine, work);
  r.memory_s = static_cast<double>(bytes(work).value) / machine.bytes_per_second;
  r.overhead_s = overhead_s_;
  return r;
}

}  // namespace rehearse
