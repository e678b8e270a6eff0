#pragma once

#include <vector>

#include "strategies/fold.hpp"
#include "strategies/pipeline_steps.hpp"
#include "strategies/plan.hpp"
#include "strategies/segments/shared_segments.hpp"

namespace rehearse {

// Writes the steps of one rank: those of its pipeline (`pipeline`), data parallelism's hooks around
// every graph, and the optimizer.
void build_rank(Program& program, RankProgram& rank, const SimulatedRank& simulated,
                const std::vector<PipelineStep>& pipeline, const ResolvedPlan& plan,
                const Model& model, const Runtime& runtime, const SharedSegments& shared);

// What is known of a rank of the pipeline without its steps: of its replicas the first.
struct RankOutline {
  Bytes resident{0};                              // for the whole run
  std::vector<CollectiveWork> every_micro_batch;  // DataParallel's
};
RankOutline rank_outline(Program& program, int pipeline_rank, const ResolvedPlan& plan,
                         const Model& model, const Runtime& runtime, const SharedSegments& shared);

}  // namespace rehearse
