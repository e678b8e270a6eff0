#include "strategies/rank_units.hpp"

#include <numeric>
#include <string>
#include <utility>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {
namespace {

std::vector<Parameter> parameters_of(const OpGraph& g, const std::string& without) {
  std::vector<Parameter> out;
  for (const Op& op : g.ops)
    for (TensorId p : op.parameters)
      if (g.tensor(p).name != without)
        out.push_back({p, g.tensor(p).elements(), g.tensor(p).expert, g.tensor(p).trainable});
  return out;
}

}  // namespace

RankUnits rank_units(const ResolvedPlan& plan, const Model& model, const SharedSegments& shared,
                     int pipeline_rank) {
  const int last_stage = plan.stages() - 1, head = static_cast<int>(model.layers) + 1;
  const bool shared_head = model.tied && plan.stages() == 1;
  RankUnits out;
  for (int c = 0; c < plan.chunks; ++c) {
    RankChunk chunk;
    chunk.stage = stage_of(*plan.schedule, plan.pipeline, pipeline_rank, c);
    chunk.copy = plan.schedule->copy_of(c);
    const auto add = [&](int position, SegmentMaker& m, const std::string& without) {
      chunk.units.push_back(out.units.size());
      out.units.push_back({position, c, &m, parameters_of(m.graph(), without)});
    };
    if (chunk.stage == 0) add(0, shared.embedding(), "");
    const auto own = plan.stage_layers.begin() + chunk.stage;
    const int first = std::accumulate(plan.stage_layers.begin(), own, 0);
    for (int l = first; l < first + *own; ++l) add(1 + l, shared.layer(l), "");
    if (chunk.stage == last_stage)
      add(head, shared.head(), shared_head ? "token_embedding.weight" : "");
    out.chunks.push_back(std::move(chunk));
  }
  return out;
}

}  // namespace rehearse
