#pragma once

#include "strategies/plan.hpp"
#include "strategies/priced_segment.hpp"
#include "strategies/rank_builder.hpp"

namespace rehearse {

// What no simulation of a plan undercuts, found without one.
//
// Time. In a step a rank's compute stream runs its chunks' forwards and backwards of every
// micro-batch, whatever it waits for besides; of two copies of the model their kernels, which never
// run at once. Under 1F1B, interleaved or not, it also idles: from its first forward to its first
// backward that micro-batch goes through all later stages and back, while the rank has but its
// warm-up to do; from its last forward to its last backward the same with the cool-down; and
// between the steps its last gradients go through the earlier ranks, and the first activations come
// from there. Which rank a step is measured on is not known: the least of all. Messages, host,
// optimizer and data parallelism take no time in this.
//
// Memory. What a rank keeps for the whole run, and what the forwards leave that precede its first
// backward.
struct PlanBound {
  SimTime step_time;
  Bytes memory{0};  // of the fullest rank
};

// Precondition: the program's groups are those of the plan, the cluster's GPUs are alike, and
// kernels do not vary.
PlanBound plan_bound(const ResolvedPlan& plan, const Model& model, const Runtime& runtime,
                     const SharedSegments& segments, Program& program, Prices& prices);

}  // namespace rehearse
