#pragma once

#include <string>
#include <vector>

#include "tools/cli/simulation.hpp"

namespace rehearse {

// The value at an arrow of the pipeline as text: "scenario", "model", "program", "tasks",
// "timeline".
std::vector<std::string> dump_stages();
std::string dump_stage(const std::string& stage, const Scenario& scenario, const Simulation& s);

}  // namespace rehearse
