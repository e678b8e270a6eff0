#include "strategies/shared_gradients.hpp"

#include <algorithm>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {
namespace {

void reduce(StepWriter& w, GroupKind group, Bytes bytes, const char* label) {
  w.order(StreamKind::kCompute, StreamKind::kData);
  w.collective(StreamKind::kData, CollectiveOp::kAllReduce, group, bytes, label);
  w.order(StreamKind::kData, StreamKind::kCompute);
}

// Another pipeline rank has copies of this one's stages.
void reduce_copies(StepWriter& w, const ResolvedPlan& plan, std::span<const Unit> units) {
  std::int64_t elements = 0;
  for (const Unit& u : units)
    for (const Parameter& p : u.parameters) elements += p.trainable ? p.elements : 0;
  reduce(w, GroupKind::kCopies, Bytes(elements * size_of(plan.training.precision.gradients).value),
         "gradients of both copies");
}

// Nothing of it is cut over the tensor-parallel ranks, and its gradient is of a part of the
// tokens: norms, routers, projections to latents.
bool whole(const Tensor& t) {
  return !t.expert && t.name != "position_embedding.weight" &&
         std::all_of(t.dims.begin(), t.dims.end(), [](const Dim& d) {
           return d.axis == Axis::kNone || d.axis == Axis::kHidden || d.axis == Axis::kHeadSize;
         });
}

}  // namespace

void reduce_shared_gradients(StepWriter& w, const ResolvedPlan& plan, const Model& model,
                             std::span<const Unit> units, int pipeline_rank) {
  if (plan.schedule->copies() > 1) return reduce_copies(w, plan, units);
  if (!w.runtime().reduces_shared_gradients) return;
  const std::int64_t element = size_of(plan.training.precision.gradients).value;
  std::int64_t norms = 0, embedding = 0;
  for (const Unit& u : units) {
    const OpGraph& g = u.segments->graph();
    for (const Parameter& p : u.parameters) {
      const Tensor& t = g.tensor(p.tensor);
      if (!p.trainable) continue;
      if (t.name == "token_embedding.weight") embedding += p.elements;
      if (whole(t)) norms += p.elements;
    }
  }
  if (plan.plan.sequence_parallel && plan.tensor > 1 && norms > 0)
    reduce(w, GroupKind::kTensor, Bytes(norms * element), "norm gradients");
  const auto owner = [&](int stage) {
    return place_of(*plan.schedule, plan.pipeline, plan.chunks, stage).rank;
  };
  const int first = owner(0), last = owner(plan.stages() - 1);
  const bool here = pipeline_rank == first || pipeline_rank == last;
  if (!model.tied || first == last || !here || embedding == 0) return;
  reduce(w, GroupKind::kEmbedding, Bytes(embedding * element), "embedding gradients");
}

}  // namespace rehearse
