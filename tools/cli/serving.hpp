#pragma once

#include <vector>

#include "tools/cli/simulation.hpp"

namespace rehearse {

// A scenario of `task: serving`: its requests, served at the prices of simulated prefills and
// decoding steps. The simulation returned is that of a mean decoding step, with the report of all.
Simulation simulate_serving(const Scenario& scenario, const SimulationOptions& options);

Spread spread_of(std::vector<double> values);

}  // namespace rehearse
