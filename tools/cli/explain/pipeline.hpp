#pragma once

#include <string>

#include "sim/config/scenario.hpp"

namespace rehearse {

// The pipeline of the steady step as a chart, and every rank's bubble in both conventions.
std::string pipeline_text(const Scenario& scenario);

}  // namespace rehearse
