#pragma once

#include <cstddef>
#include <vector>

#include "models/model.hpp"
#include "strategies/data/data_parallel.hpp"
#include "strategies/plan.hpp"
#include "strategies/segments/shared_segments.hpp"

namespace rehearse {

// A chunk of the model on a rank of the pipeline.
struct RankChunk {
  int stage = 0;
  int copy = 0;                    // of the model
  std::vector<std::size_t> units;  // indices, in model order
};

// What a rank of the pipeline has of the model.
struct RankUnits {
  std::vector<Unit> units;
  std::vector<RankChunk> chunks;
};
RankUnits rank_units(const ResolvedPlan& plan, const Model& model, const SharedSegments& shared,
                     int pipeline_rank);

}  // namespace rehearse
