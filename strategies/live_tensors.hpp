#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/engine/annotations.hpp"
#include "strategies/program.hpp"

namespace rehearse {

// Tensors of one name and category that are alive together.
struct LiveTensors {
  std::string name;  // of the tensor in its graph; messages, buckets and gathered parameters by
                     // what they are, not whose
  MemoryCategory category{};
  std::int64_t count = 0;
  Bytes bytes{0};  // of all of them
};

// What a rank holds at its peak beside parameters, states and persistent gradients, largest first:
// rank_memory()'s peak, tensor by tensor. Empty where the peak is before the first step.
std::vector<LiveTensors> live_at_peak(const Program& program, const RankProgram& rank);

}  // namespace rehearse
