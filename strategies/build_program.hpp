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
// Folding: ranks that differ only in their place along tensor, context or data parallelism do the
// same and are simulated by the first of them; pipeline ranks differ. An axis along which pipelines
// lie differently on the nodes is not folded. Where data-parallel ranks own
// whole parameters (ZeRO 1 of PyTorch) the one with most stands for all: the others wait for it in
// the first broadcast, so times are exact, and it has the largest peak.
Program build_program(const ResolvedPlan& plan, const Model& model, const Cluster& cluster,
                      const Runtime& runtime, const BuildOptions& options);

// Shapes and types of one rank's graphs, before tensor parallelism.
GraphOptions graph_options(const ResolvedPlan& plan);

}  // namespace rehearse
