#pragma once

#include <string>

#include "sim/config/scenario.hpp"

namespace rehearse {

// The chain of work and waits that ends when the step ends: runs of work of one kind in order, and
// sums by kind. Both add up to the step.
std::string critical_path_text(const Scenario& scenario);

}  // namespace rehearse
