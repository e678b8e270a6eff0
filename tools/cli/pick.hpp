#pragma once

#include <string>
#include <vector>

#include "sim/config/scenario.hpp"

namespace rehearse {

// The one plan that a command is about: `plan` (--plan), or the only one that there is. Throws
// UserError with the nearest name.
Scenario pick_scenario(std::vector<Scenario> all, const std::string& plan);

// load_scenarios(); where it finds mistakes, with those inside the model and the cluster as well.
std::vector<Scenario> load(const std::string& path_or_name,
                           const std::vector<std::string>& overrides);

}  // namespace rehearse
