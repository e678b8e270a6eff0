#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "strategies/plan.hpp"
#include "strategies/priced_segment.hpp"
#include "strategies/rank_builder.hpp"
#include "strategies/schedules/outline.hpp"

namespace rehearse {

// What no simulation of a plan undercuts, found without one.
//
// Time. In a step a rank's compute stream runs its chunks' forwards and backwards of every
// micro-batch, whatever it waits for besides; of two copies of the model their kernels, which never
// run at once. Under 1F1B, interleaved or not, it also idles: from its first forward to its first
// backward that micro-batch goes through all later stages and back, while the rank has but its
// warm-up to do; from its last forward to its last backward the same with the cool-down; and
// between the steps its last gradients go through the earlier ranks, and the first activations come
// from there. A data stream runs what every micro-batch gathers. Which rank a step is measured on
// is not known: the least of all. Messages, host, optimizer and what data parallelism does once a
// step take no time in this.
//
// Memory. What a rank keeps for the whole run, and what the forwards leave that precede its first
// backward.
struct PlanBound {
  SimTime step_time;
  Bytes memory{0};  // of the fullest rank
};

// Of a stage of the model, or one of the graphs in it.
struct StageCost {
  std::int64_t forward = 0, backward = 0;  // picoseconds
  std::int64_t kept = 0;                   // bytes that a forward leaves for its backward

  StageCost& operator+=(const StageCost& o);
};

// Bounds of plans that have the same segments. What it is given must outlive
// this.
class PlanBounds {
 public:
  PlanBounds(const Model& model, const Runtime& runtime, const SharedSegments& segments,
             Program& program, Prices& prices, ScheduleOutlines& outlines)
      : model_(model),
        runtime_(runtime),
        segments_(segments),
        program_(program),
        prices_(prices),
        outlines_(outlines) {}

  // Precondition: the program's groups are those of the plan, the cluster's GPUs are alike, and
  // kernels do not vary.
  PlanBound of(const ResolvedPlan& plan);

 private:
  // What is known of graphs: for schedules that split backward, and that hide communication.
  using Costs = std::map<const SegmentMaker*, StageCost>;

  const StageCost& cost_of(SegmentMaker& graph, const Schedule& schedule);
  std::vector<StageCost> stages_of(const ResolvedPlan& plan);
  void replace_outputs(std::vector<StageCost>& stages, const ResolvedPlan& plan) const;
  std::int64_t communicating(const RankOutline& rank, const ResolvedPlan& plan);
  // Prices inside segments are those of the groups that the program has now.
  void forget_other_groups();

  const Model& model_;
  const Runtime& runtime_;
  const SharedSegments& segments_;
  Program& program_;
  Prices& prices_;
  ScheduleOutlines& outlines_;
  Costs costs_[2][2];
  std::array<CommGroup, kGroupKinds> groups_;  // that costs_ are of
};

}  // namespace rehearse
