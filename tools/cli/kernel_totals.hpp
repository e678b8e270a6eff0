#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/cli/simulation.hpp"

namespace rehearse {

// A kernel of one rank's step at one shape.
struct KernelTotal {
  std::string label, name;  // the operator, and the kernel as PyTorch's profiler names it
  KernelWork work;
  std::int64_t count = 0;  // a step
  Seconds time{0};         // once, at sustained clocks
};

// Every kernel of the rank, longest total time first (ties: as they run).
std::vector<KernelTotal> kernel_totals(const Simulation& s, const RankProgram& rank);

}  // namespace rehearse
