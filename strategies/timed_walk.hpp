#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "sim/engine/flow_schedule.hpp"
#include "strategies/clock_code.hpp"
#include "strategies/lower.hpp"

namespace rehearse {

// The times of lower() and simulate() where transfers may meet on links, without a graph.
// Precondition: clock_suffices(), clock_knows(), and nothing varies.
//
// Model. Ranks are walked by clock (as in ClockWalk), but what takes of links is a flow
// (FlowSchedule), whose end is known when it has come to pass. A rank goes on until it needs an end
// that is not known yet, or what another rank has not done yet; in between, its clocks run ahead.
// Of flows that are known to come, the earliest start or end is the next thing that happens: what
// is not known yet depends on one of them.
//
// A run of segments whose collectives may meet something is one task behind a guard. Where that is
// broken, what has run of it by then has run, the segment that is under way is walked instruction
// by instruction, and the rest is a run again.
//
// Nothing: a rank found, having waited, that it could have started something earlier. (It waits in
// the order of its program, also for what a later step does not need.) Or it exchanges messages in
// pairs, which is not known here.
std::optional<StepTimes> timed_step_times(const Program& program, const Cluster& cluster,
                                          const LowerOptions& options, Prices& prices);

}  // namespace rehearse
