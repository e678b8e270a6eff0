#pragma once

#include <array>
#include <vector>

#include "sim/engine/annotations.hpp"
#include "strategies/program.hpp"

namespace rehearse {

// What PyTorch's allocator would report of one rank for a step after the first. Allocations are
// counted when the host makes them, so the peak follows from the order of the program alone.
struct RankMemory {
  Bytes peak{0};                                   // max_memory_allocated
  Bytes reserved{0};                               // max_memory_reserved
  std::array<Bytes, kMemoryCategories> at_peak{};  // by MemoryCategory
};

// Without `reserved`, which takes a walk through every allocation, it is the peak.
RankMemory rank_memory(const Program& program, const RankProgram& rank, bool reserved = true);

}  // namespace rehearse
