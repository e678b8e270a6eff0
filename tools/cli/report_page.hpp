#pragma once

#include <string>

#include "tools/cli/simulation.hpp"

namespace rehearse {

// The page of a run: `s` simulated with a task a kernel where it is to show single kernels and
// memory.
std::string report_page(const Simulation& s);

}  // namespace rehearse
