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

// What a rank of the pipeline keeps for the whole run: of its replicas the first.
Bytes resident_bytes(Program& program, int pipeline_rank, const ResolvedPlan& plan,
                     const Model& model, const Runtime& runtime, const SharedSegments& shared);

}  // namespace rehearse
