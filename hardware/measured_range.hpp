#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "hardware/gpu.hpp"

namespace rehearse {

// By how many octaves a size lies outside of an ascending axis of measured sizes.
inline double octaves_beyond(const std::vector<std::int64_t>& axis, std::int64_t size) {
  if (axis.empty() || size < 1) return 0;
  const auto octaves = [](std::int64_t from, std::int64_t to) {
    return std::log2(static_cast<double>(to) / static_cast<double>(from));
  };
  if (size < axis.front()) return octaves(size, axis.front());
  return size > axis.back() ? octaves(axis.back(), size) : 0;
}

// How far a kernel lies outside of what the tables that price it were measured over: octaves of all
// its sizes together. 0 where no table does.
double octaves_outside(const Gpu& gpu, const KernelWork& work, Clocks clocks);

}  // namespace rehearse
