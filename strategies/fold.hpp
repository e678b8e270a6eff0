#pragma once

#include <vector>

#include "strategies/plan.hpp"
#include "strategies/program.hpp"

namespace rehearse {

// A rank to be simulated, and those that it stands for.
struct SimulatedRank {
  RankMap::Place place;
  int represents = 1;
  int members = 1;            // of its own tensor- and context-parallel groups among them
  std::vector<int> replicas;  // that it stands for: data * context_parallel + context
  Machine machine;
  // What those that it stands for compute in, over what it does: faster ones wait for it.
  double busy = 1;
};

struct FoldOptions {
  bool fold = true;              // false: every rank on its own
  bool replicas_differ = false;  // no two data-parallel ranks are taken to do the same
};

// Ranks that do the same are simulated once. By pipeline stage, and by stage
//
// - along data parallelism, replicas whose ranks run on the same machines are one: a replica with a
//   slow GPU is simulated beside the others, all the others together;
// - along tensor and context parallelism the ranks of a replica meet in every segment, so they go
//   at the pace of the slowest: one rank with the slowest of their machines stands for all. That is
//   exact where one place of the group has the slowest machine on every stage. Where it moves from
//   stage to stage it is a bound: a message between two faster ranks may go ahead by the kernels
//   after a segment's last collective.
//
// An axis along which messages to the neighbouring stages leave a node at different places is not
// folded at all.
std::vector<SimulatedRank> simulated_ranks(const ResolvedPlan& plan, const Cluster& cluster,
                                           const RankMap& map, const FoldOptions& options);

}  // namespace rehearse
