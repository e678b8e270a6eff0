#pragma once

#include "hardware/cluster.hpp"
#include "strategies/lower.hpp"
#include "strategies/program.hpp"

namespace rehearse {

// The times of lower() and simulate() where nothing varies, without most of a graph.
//
// Model. Most of a schedule is periods that do the same for later micro-batches (phases_of). A
// program with fewer of them is replayed. Where, before any rank leaves the phase, three periods on
// end start and end all tasks of all streams of all GPUs at the same distance from each other, the
// ranks are where they were a period before, with everything that is under way, and so is every
// period after: those that were left out take that distance each, and what follows them is as it
// was. Hosts that run ahead are further ahead after more periods: what follows must not have waited
// for them. Where any of this is not so, a program with more periods is replayed, in the end the
// whole. `tasks` counts those that were replayed.
StepTimes replayed_step_times(const Program& program, const Cluster& cluster);

}  // namespace rehearse
