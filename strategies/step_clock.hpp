#pragma once

#include <optional>

#include "strategies/lower.hpp"
#include "strategies/priced_segment.hpp"

namespace rehearse {

// The times of lower() and simulate(), without a graph; nothing: it takes one. Precondition:
// nothing varies.
//
// Where transfers may meet on links, or work slows other work, ranks are walked in order of time
// (timed_step_times).
//
// Model. Elsewhere a step is a walk by clock (ClockWalk) whose time does not grow with the number
// of micro-batches. Most of a schedule is periods that do the same for later micro-batches
// (StepList::stretches). A period is a max-plus map of the clocks at its beginning to those at its
// end; when every clock has moved on by the same as in the period before, the next period is walked
// on lines (Lines): on every clock as it will be in all later periods. If the lines come back as
// they were, moved on by one period, then by induction so they do in every period after, as far as
// the order of what was compared lasts (Lines::horizon): those are left out, and every clock is
// where it would be. Exact, in integers.
std::optional<StepTimes> times_without_graph(const Program& program, const Cluster& cluster,
                                             const LowerOptions& options, Prices& prices);

// Whether unhindered_step_times() can tell anything: copies to a host have streams of their own,
// which a clock does not know. Precondition of it.
bool clock_knows(const Program& program);
// The same as if no transfers ever met, nor work slowed other work: no step is shorter.
StepTimes unhindered_step_times(const Program& program, const Cluster& cluster,
                                const LowerOptions& options, Prices& prices);

}  // namespace rehearse
