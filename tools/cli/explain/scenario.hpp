#pragma once

#include <span>
#include <string>
#include <string_view>

#include "sim/config/scenario.hpp"

namespace rehearse {

// What can be explained of a scenario: formula, inputs with their sources, the arithmetic, unit and
// convention, ready to print. A new one is a line of the table in scenario.cpp.
struct Explanation {
  std::string_view what;
  std::string_view summary;
  std::string (*text)(const Scenario& scenario);
};
std::span<const Explanation> explanations();

// `what` is one of the table, or an operator of the model ("qkv", "attention"). Throws UserError
// with the nearest name.
std::string explain_scenario(const Scenario& scenario, const std::string& what);

}  // namespace rehearse
