#pragma once

#include <vector>

#include "hardware/cluster.hpp"
#include "models/op_graph.hpp"
#include "strategies/plan.hpp"
#include "strategies/runtime.hpp"

namespace rehearse {

// Expert parallelism (Lepikhin et al. 2021; Megatron core's parallel folding, Liu et al. 2025): the
// ranks of one pipeline stage, innermost axis first, are divided again into those that cut an
// expert (innermost), those that share a layer's experts, and replicas.

// What is left of a layer's experts on one rank: the fullest.
ExpertLayout expert_layout(const ResolvedPlan& plan, const Model& model, const Runtime& runtime);

// Where the rank at `index` of a stage's ranks (RankMap::stage_ranks) is: the number of the group
// that shares its experts, and of the group that has the same ones.
struct ExpertPlace {
  std::size_t group = 0;
  std::size_t replicas = 0;
};
ExpertPlace expert_place(const ResolvedPlan& plan, std::size_t index);

// The ranks of those groups.
std::vector<int> expert_group(const ResolvedPlan& plan, const std::vector<int>& ranks,
                              std::size_t index);
std::vector<int> expert_replicas(const ResolvedPlan& plan, const std::vector<int>& ranks,
                                 std::size_t index);

}  // namespace rehearse
