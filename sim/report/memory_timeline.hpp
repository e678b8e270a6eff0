#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/engine/annotations.hpp"
#include "sim/engine/replay.hpp"

namespace rehearse {

// The memory of a device through time: at each point the sum by category.
struct MemoryPoint {
  SimTime at;  // does not decrease
  std::array<std::int64_t, kMemoryCategories> bytes{};

  std::int64_t total() const;
};

// One point for each change, in the order in which the host makes them, which is what the peak
// depends on. A change is drawn where its task starts (allocation) or ends (free), but never
// before the change that precedes it.
std::vector<MemoryPoint> memory_timeline(const Timeline& timeline, const Annotations& notes,
                                         std::uint32_t device);

}  // namespace rehearse
