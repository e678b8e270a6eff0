#pragma once

#include "hardware/cluster.hpp"
#include "models/model.hpp"
#include "strategies/plan.hpp"
#include "strategies/program.hpp"
#include "strategies/runtime.hpp"

namespace rehearse {

struct BuildOptions {
  bool fold = true;  // simulate ranks that do the same once
};

// What every simulated rank does in one step of the plan.
//
// Folding: ranks that differ only along an axis whose members all do the same are simulated by the
// first of them. Pipeline ranks differ; tensor- and context-parallel ones do not; data-parallel ones
// do only where they own whole parameters (ZeRO 1 of PyTorch).
Program build_program(const ResolvedPlan& plan, const Model& model, const Cluster& cluster,
                      const Runtime& runtime, const BuildOptions& options);

// Shapes and types of one rank's graphs, before tensor parallelism.
GraphOptions graph_options(const ResolvedPlan& plan);

}  // namespace rehearse
