#include "strategies/variation.hpp"

#include <algorithm>
#include <cmath>

namespace rehearse {

Draws::Draws(std::uint64_t seed, std::uint64_t trial, std::uint64_t rank) : state_(seed) {
  state_ = next() ^ trial;
  state_ = next() ^ rank;
  state_ = next();
}

std::uint64_t Draws::next() {
  state_ += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

double Draws::uniform() { return std::ldexp(static_cast<double>(next() >> 11), -53); }

double Draws::normal() {
  // Four numbers of 16 bits from each of three words; each is less than uniform by half a step.
  std::uint64_t sum = 0;
  for (int word = 0; word < 3; ++word)
    for (std::uint64_t bits = next(), i = 0; i < 4; ++i, bits >>= 16) sum += bits & 0xffff;
  return (static_cast<double>(sum) + 6) / 65536 - 6;
}

double Draws::largest_normal(int n) {
  double largest = normal();
  for (int i = 1; i < n; ++i) largest = std::max(largest, normal());
  return largest;
}

SegmentIntervals intervals(const Segment& segment, const PricedSegment& priced) {
  SegmentIntervals out;
  out.intervals.emplace_back();
  for (const PricedInstr& p : priced.instrs) {
    const Instr& instr = segment.instrs[p.instr];
    const bool meets = !std::holds_alternative<Kernel>(instr.what);
    const bool computes = !std::holds_alternative<CollectiveWork>(instr.what);
    if (meets && out.intervals.back().kernels > 0) out.intervals.emplace_back();
    out.of_instr.push_back(static_cast<std::uint32_t>(out.intervals.size() - 1));
    if (!computes) continue;
    const auto time = static_cast<double>(meets ? p.kernel : p.duration);
    out.intervals.back().kernels += time;
    out.intervals.back().squares += time * time;
  }
  return out;
}

KernelVariation::KernelVariation(const Variation& v, int trial, int rank, int members)
    : variation_(v),
      members_(members),
      any_(v.any()),
      draws_(v.seed, static_cast<std::uint64_t>(trial), static_cast<std::uint64_t>(rank)) {}

void KernelVariation::begin_step() {
  slowdown_ = 1;
  if (variation_.straggler_probability <= 0) return;
  for (int i = 0; i < members_; ++i)
    if (draws_.uniform() < variation_.straggler_probability)
      slowdown_ = variation_.straggler_slowdown;
}

double KernelVariation::factor(const Interval& interval) {
  if (interval.kernels <= 0) return 1;
  double jitter = 0;
  if (variation_.kernel_jitter > 0)
    jitter = variation_.kernel_jitter * (std::sqrt(interval.squares) / interval.kernels) *
             draws_.largest_normal(members_);
  return slowdown_ * std::max(0.0, 1 + jitter);
}

}  // namespace rehearse
