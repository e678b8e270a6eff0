#include "strategies/segments/shared_segments.hpp"

#include <map>
#include <tuple>

namespace rehearse {
namespace {

SegmentOptions segment_options(const ResolvedPlan& plan, const Model& model,
                               const Runtime& runtime) {
  const Precision& p = plan.training.precision;
  SegmentOptions o;
  o.autocast = p.autocast;
  o.recompute = plan.training.recompute;
  o.sequence_parallel = plan.plan.sequence_parallel && plan.tensor > 1;
  o.vocabulary_parallel = plan.plan.vocabulary_parallel && plan.tensor > 1;
  o.tensor_ranks = plan.tensor;
  o.context_ranks = plan.context;
  o.expert_ranks = plan.expert;
  o.keep_logits = runtime.keeps_logits && plan.pipeline > 1;
  o.tied = model.tied && plan.stages() == 1;
  o.gradient = plan.shards() ? (p.sharded_fp32 ? p.compute : p.parameters) : p.gradients;
  return o;
}

// Where gradients are cut over the ranks nothing is accumulated in place and no buffer persists.
Runtime suited(Runtime runtime, const ResolvedPlan& plan) {
  if (!plan.shards()) return runtime;
  for (Runtime* r : {&runtime, runtime.blocks.empty() ? &runtime : &runtime.blocks.front()}) {
    r->persistent_gradients = r->fused_gradient_accumulation = false;
  }
  return runtime;
}

}  // namespace

SharedSegments::SharedSegments(Program& program, const ModelGraphs& graphs,
                               const ResolvedPlan& plan, const Runtime& runtime,
                               const Multiprocessors& gpu)
    : runtime_(suited(runtime, plan)) {
  const KernelContext edge{runtime_, plan.training.precision, plan.training.causal, program, gpu};
  const KernelContext inner{runtime_.in_blocks(), plan.training.precision, plan.training.causal,
                            program, gpu};
  const SegmentOptions options = segment_options(plan, graphs.model, runtime_);
  SegmentOptions in_full = options;
  in_full.recompute = Recompute::kFull;
  const auto alternate = [&](std::int64_t layer) {
    return plan.training.recompute == Recompute::kAlternate && layer % 2 == 1;
  };
  first_trainable_ = rehearse::first_trainable(graphs);
  const auto make = [&](const KernelContext& context, const OpGraph& g, std::int64_t position) {
    GraphRole role{position == 0, position == graphs.model.layers + 1, first_trainable_ < position};
    return std::make_unique<SegmentMaker>(program, context, g, role,
                                          alternate(position - 1) ? in_full : options);
  };
  embedding_ = make(edge, graphs.embedding, 0);
  // One for each graph of a layer, and one more where the layer is the first that trains, or
  // before, or is recomputed where others are not.
  std::map<std::tuple<const OpGraph*, bool, bool>, SegmentMaker*> made;
  for (std::int64_t l = 0; l < graphs.model.layers; ++l) {
    const OpGraph& g = layer_graph(graphs, l);
    SegmentMaker*& maker = made[{&g, first_trainable_ < 1 + l, alternate(l)}];
    if (maker == nullptr) {
      makers_.push_back(make(inner, g, 1 + l));
      maker = makers_.back().get();
    }
    layers_.push_back(maker);
  }
  head_ = make(edge, graphs.head, graphs.model.layers + 1);
}

}  // namespace rehearse
