#pragma once

#include "hardware/cluster.hpp"
#include "models/model.hpp"
#include "strategies/fold.hpp"
#include "strategies/plan.hpp"
#include "strategies/program.hpp"
#include "strategies/runtime.hpp"

namespace rehearse {

// What every simulated rank does in one step of the plan.
//
// Folding: see fold.hpp. Where data-parallel ranks own whole parameters (ZeRO 1 of PyTorch) the one
// with most stands for those it is folded with: the others wait for it in the first broadcast, so
// times are exact, and it has the largest peak.
Program build_program(const ResolvedPlan& plan, const Model& model, const Cluster& cluster,
                      const Runtime& runtime, const FoldOptions& options);

// Shapes and types of one rank's graphs, before tensor parallelism.
GraphOptions graph_options(const ResolvedPlan& plan);

}  // namespace rehearse
