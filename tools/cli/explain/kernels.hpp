#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tools/cli/simulation.hpp"

namespace rehearse {

// Global number of the rank whose step is longest.
int slowest_rank(const Simulation& s);
// Operators of that rank, each once, in the order in which they run first.
std::vector<std::string> operator_names(const Simulation& s);
// Its kernels, those of one operator unless `label` is empty, longest total first, at most `most`:
// times, FLOPs, bytes, bound, efficiency, and where that was measured.
std::string kernel_table(const Simulation& s, const std::string& label, std::size_t most);

}  // namespace rehearse
