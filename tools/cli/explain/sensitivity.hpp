#pragma once

#include <string>

#include "sim/config/scenario.hpp"

namespace rehearse {

// What a machine of which one part is 10 % faster would give: one simulation each.
std::string sensitivity_text(const Scenario& scenario);

}  // namespace rehearse
