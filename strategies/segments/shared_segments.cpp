#include "strategies/segments/shared_segments.hpp"

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
  const bool sharded = plan.replicas() > 1 && plan.plan.zero_stage >= 2;
  o.gradient = sharded ? (p.sharded_fp32 ? p.compute : p.parameters) : p.gradients;
  return o;
}

// Where gradients are cut over the ranks nothing is accumulated in place and no buffer persists;
// products accumulate in place into fp32 alone.
Runtime suited(Runtime runtime, const ResolvedPlan& plan) {
  const bool cut = plan.replicas() > 1 && plan.plan.zero_stage >= 2;
  for (Runtime* r : {&runtime, runtime.blocks.empty() ? &runtime : &runtime.blocks.front()}) {
    if (cut) r->persistent_gradients = false;
    if (cut || plan.training.precision.gradients != DType::kFp32)
      r->fused_gradient_accumulation = false;
  }
  return runtime;
}

}  // namespace

SharedSegments::SharedSegments(Program& program, const ModelGraphs& graphs,
                               const ResolvedPlan& plan, const Runtime& runtime)
    : runtime_(suited(runtime, plan)) {
  const KernelContext edge{runtime_, plan.training.precision, plan.training.causal, program};
  const KernelContext inner{runtime_.in_blocks(), plan.training.precision, plan.training.causal,
                            program};
  const SegmentOptions options = segment_options(plan, graphs.model, runtime_);
  embedding_ = std::make_unique<SegmentMaker>(program, edge, graphs.embedding,
                                              GraphRole{true, false}, options);
  block_ = std::make_unique<SegmentMaker>(program, inner, graphs.block, GraphRole{}, options);
  for (const OpGraph& g : graphs.variants)
    variants_.push_back(std::make_unique<SegmentMaker>(program, inner, g, GraphRole{}, options));
  layer_variants_ = graphs.layer_variants;
  head_ =
      std::make_unique<SegmentMaker>(program, edge, graphs.head, GraphRole{false, true}, options);
}

SegmentMaker& SharedSegments::layer(int l) const {
  const int variant = layer_variants_.empty() ? -1 : layer_variants_[static_cast<std::size_t>(l)];
  return variant < 0 ? *block_ : *variants_[static_cast<std::size_t>(variant)];
}

}  // namespace rehearse
