#pragma once

#include <string>
#include <vector>

#include "models/model.hpp"
#include "sim/config/scenario.hpp"
#include "sim/report/run_report.hpp"
#include "strategies/lower.hpp"
#include "strategies/plan.hpp"
#include "strategies/runtime.hpp"
#include "strategies/step_power.hpp"

namespace rehearse {

// The pipeline of passes from a scenario to a report, with the value at every arrow kept, so that
// it can be dumped, traced and tested.
struct SimulationOptions {
  bool ideal = false;  // efficiency 1, no host, no fixed cost
  bool fold = true;
  bool merge = true;                    // false: a task a kernel, for traces
  bool merge_passes = true;             // false: no task for two actions of a schedule, for charts
  void (*improve)(Cluster&) = nullptr;  // a what-if: the machine changed before it is simulated
  int trials = 1;                       // steps to simulate of a scenario that varies at random
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

// What simulate() does once there is a program; evaluate() does some of it.
// Sets the clocks that the load of a step of this length, simulated at full clock, leaves where the
// power limit binds. Whether they are lower.
bool throttle_clocks(Simulation& s, Seconds step);
// Fill in the report: of the step time and the plan, and of power. Memory: memory_report.hpp.
void report_throughput(Simulation& s);
void report_economics(Simulation& s, PowerMeter& meter);

}  // namespace rehearse
