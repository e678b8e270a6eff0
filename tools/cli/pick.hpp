#pragma once

#include <string>
#include <vector>

#include "sim/config/scenario.hpp"

namespace rehearse {

// The one plan that a command is about: `plan` (--plan), or the only one that there is. Throws
// UserError with the nearest name.
Scenario pick_scenario(std::vector<Scenario> all, const std::string& plan);

}  // namespace rehearse
