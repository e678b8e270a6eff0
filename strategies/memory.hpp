#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "sim/engine/annotations.hpp"
#include "strategies/program.hpp"

namespace rehearse {

// What PyTorch's allocator would report of one rank for a step after the first. Allocations are
// counted when the host makes them, so the peak follows from the order of the program alone.
struct RankMemory {
  Bytes peak{0};      // max_memory_allocated
  Bytes uncut{0};     // of the peak: what blocks hold that nobody asked for, as it was not cut off
  Bytes reserved{0};  // max_memory_reserved
  std::array<Bytes, kMemoryCategories> at_peak{};  // by MemoryCategory; uncut is temporary
};

// What the process did before the first step. cuBLAS's handle belongs to a thread, and PyTorch
// allocates its workspace at the handle's first product (aten/src/ATen/cuda/CublasHandlePool.cpp):
// in a fresh process forward's in the first forward and that of autograd's thread in the first
// backward, beside what is free then. One that trained other models has both from the start.
enum class Process : std::uint8_t { kFresh, kTrainedBefore };

// How a process uses the allocator, beside the program.
struct Allocation {
  Bytes workspace{0};  // forward's, and backward's; 0: there are none, or the program's setup has
                       // them
  Process process = Process::kFresh;
  bool expandable_segments = false;
};

// Without `reserved`, which takes a walk through every allocation, it is the peak, and of blocks no
// more is known than what was asked for.
RankMemory rank_memory(const Program& program, const RankProgram& rank, bool reserved = true,
                       const Allocation& allocation = {});

}  // namespace rehearse
