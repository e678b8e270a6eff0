#pragma once

#include <cstddef>
#include <memory>

#include "hardware/cluster.hpp"
#include "models/model.hpp"
#include "strategies/comm_groups.hpp"
#include "strategies/fold.hpp"
#include "strategies/plan.hpp"
#include "strategies/program.hpp"
#include "strategies/rank_builder.hpp"
#include "strategies/runtime.hpp"

namespace rehearse {

// What every simulated rank does in one step of the plan.
//
// Folding: see fold.hpp. Where data-parallel ranks own whole parameters (ZeRO 1 of PyTorch) the one
// with most stands for those it is folded with: the others wait for it in the first broadcast, so
// times are exact, and it has the largest peak.
Program build_program(const ResolvedPlan& plan, const Model& model, const Cluster& cluster,
                      const Runtime& runtime, const FoldOptions& options);

// The same for several plans, one after the other, that need the same segments: those are made
// once. The model, cluster and runtime are those of all of them, and must outlive this, as the
// groups must.
class ProgramWriter {
 public:
  ProgramWriter(Program& program, const ResolvedPlan& plan, const Model& model,
                const Cluster& cluster, const Runtime& runtime, CommGroups& groups);
  // Whether a plan's segments are those that are here. Plans of one writer have the same hash.
  bool writes(const ResolvedPlan& plan) const;
  static std::size_t hash(const ResolvedPlan& plan);
  // Makes it the program of a plan, in place of the plan before.
  void write(const ResolvedPlan& plan, const FoldOptions& options);
  // Its groups alone.
  void write_groups(const ResolvedPlan& plan);
  const SharedSegments& segments() const { return *shared_; }

 private:
  Program& program_;
  const Model& model_;
  const Cluster& cluster_;
  const Runtime& runtime_;
  CommGroups& groups_;
  const ResolvedPlan plan_;  // that the segments are made for, and go on referring to
  const ResolvedPlan key_;   // the same without what they do not depend on
  std::unique_ptr<SharedSegments> shared_;
};

// Shapes and types of one rank's graphs, before tensor parallelism.
GraphOptions graph_options(const ResolvedPlan& plan);

}  // namespace rehearse
