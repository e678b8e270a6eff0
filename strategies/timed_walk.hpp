#pragma once

#include <optional>

#include "strategies/lower.hpp"
#include "strategies/priced_segment.hpp"

namespace rehearse {

// The times of lower() and simulate() without a graph, where transfers may meet on links or kernels
// and collectives slow each other. Precondition: clock_knows(), and nothing varies.
//
// Model. Ranks are walked by clock (as in ClockWalk), but what may be slowed is a flow
// (FlowSchedule), whose end is known when it has come to pass: what takes of links, and where work
// of one GPU slows other work, everything on its streams. A rank goes on until it needs an end that
// is not known yet, or what another rank has not done yet; in between, its clocks run ahead. It may
// have issued a few runs of segments that are still to begin, since what it issues after them may
// start earlier. Of flows that are known to come, the earliest start or end is the next thing that
// happens: what is not known yet depends on one of them.
//
// A run of segments is one task behind a guard. Where that is broken, since something comes beside
// it, what has run of it by then has run, the segment that is under way is walked instruction by
// instruction, and the rest is a run again.
//
// Nothing: a rank found, having waited, that it could have started something earlier. (It waits in
// the order of its program, also for what a later step does not need.) Or it exchanges messages in
// pairs, which is not known here; or kernels are slowed in more ways than there are classes.
std::optional<StepTimes> timed_step_times(const Program& program, const Cluster& cluster,
                                          const LowerOptions& options, Prices& prices);

}  // namespace rehearse
