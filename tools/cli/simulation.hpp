#pragma once

#include <string>
#include <vector>

#include "models/model.hpp"
#include "sim/config/scenario.hpp"
#include "sim/report/run_report.hpp"
#include "strategies/lower.hpp"
#include "strategies/plan.hpp"
#include "strategies/runtime.hpp"

namespace rehearse {

// The pipeline of passes from a scenario to a report, with the value at every arrow kept, so that
// it can be dumped, traced and tested.
struct SimulationOptions {
  bool ideal = false;  // efficiency 1, no host, no fixed cost
  bool fold = true;
  bool merge = true;  // false: a task a kernel, for traces
  int trials = 1;     // steps to simulate of a scenario that varies at random
};

struct Simulation {
  Model model;
  Cluster cluster;
  Runtime runtime;
  ResolvedPlan plan;
  Program program;
  Lowered lowered;
  Timeline timeline;
  RunReport report;
};

Simulation simulate(const Scenario& scenario, const SimulationOptions& options = {});

}  // namespace rehearse
