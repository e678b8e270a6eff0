#pragma once

#include <memory>
#include <vector>

#include "strategies/data/data_parallel.hpp"
#include "strategies/fold.hpp"
#include "strategies/pipeline_steps.hpp"
#include "strategies/plan.hpp"
#include "strategies/segments/segments.hpp"

namespace rehearse {

// Segments of the graphs, shared by all ranks and layers.
class SharedSegments {
 public:
  SharedSegments(Program& program, const ModelGraphs& graphs, const ResolvedPlan& plan,
                 const Runtime& runtime);
  SharedSegments(const SharedSegments&) = delete;
  SharedSegments& operator=(const SharedSegments&) = delete;
  SegmentMaker& embedding() const { return *embedding_; }
  SegmentMaker& block() const { return *block_; }
  SegmentMaker& layer(int l) const;
  SegmentMaker& head() const { return *head_; }

 private:
  Runtime runtime_;  // as the plan lets it be
  std::unique_ptr<SegmentMaker> embedding_, block_, head_;
  std::vector<std::unique_ptr<SegmentMaker>> variants_;  // of ModelGraphs
  std::vector<int> layer_variants_;
};

// Writes the steps of one rank: those of its pipeline (`pipeline`), data parallelism's hooks around
// every graph, and the optimizer.
void build_rank(Program& program, RankProgram& rank, const SimulatedRank& simulated,
                const std::vector<PipelineStep>& pipeline, const ResolvedPlan& plan,
                const Model& model, const Runtime& runtime, const SharedSegments& shared);

// What a rank of the pipeline keeps for the whole run: of its replicas the first.
Bytes resident_bytes(Program& program, int pipeline_rank, const ResolvedPlan& plan,
                     const Model& model, const Runtime& runtime, const SharedSegments& shared);

}  // namespace rehearse
