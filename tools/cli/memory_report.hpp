#pragma once

#include <vector>

#include "strategies/memory.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {

const char* memory_category_name(MemoryCategory category);

// Of every simulated rank, with what the allocator reserves or (a lower bound) what is allocated
// alone, in a process that may have trained before.
std::vector<RankMemory> memory_of_ranks(const Simulation& s, bool reserved = true,
                                        Process process = Process::kFresh);

// Fills in the report: by stage, whether it fits, and what would help where it does not.
void report_memory(Simulation& s, const std::vector<RankMemory>& ranks);

}  // namespace rehearse
