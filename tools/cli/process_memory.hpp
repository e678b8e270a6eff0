#pragma once

#include "strategies/memory.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {

// report_memory() for a process that may have trained before; without a word it is a fresh one.
void report_memory(Simulation& s, bool reserved, Process process);

}  // namespace rehearse
