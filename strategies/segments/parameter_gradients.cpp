#include <algorithm>

#include "strategies/segments/builder.hpp"

namespace rehearse {

void SegmentBuilder::parameter_gradients(const Op& op, GradientStore store, Part part) {
  for (const Op& gather : graph_.ops) {
    const TensorId gathered = gather.outputs[0];
    if (!overlaps(part) || gather.kind != OpKind::kGather || !wants_gradient(gathered)) continue;
    // The first that reads it is the last to add to its gradient.
    const auto first = std::find_if(graph_.ops.begin(), graph_.ops.end(), [&](const Op& reader) {
      return std::find(reader.inputs.begin(), reader.inputs.end(), gathered) != reader.inputs.end();
    });
    if (&*first != &op) continue;
    reduced_.insert(gather.outputs[0]);
    beside(options_.sequence_parallel ? CollectiveOp::kReduceScatter : CollectiveOp::kAllReduce,
           graph_.tensor(gather.outputs[0]).bytes(), GroupKind::kTensor);
  }
  compute_gradients(op, store, true);
}

void SegmentBuilder::store_gradient(TensorId p, const Op& op, GradientStore store) {
  const Runtime& rt = context_.runtime;
  TrafficBase base;
  base.parameters = graph_.tensor(p).bytes();
  base.element = size_of(graph_.tensor(p).dtype);
  const bool fused = rt.fused_gradient_accumulation && is_product(op.kind);
  if (fused || (store == GradientStore::kFresh && !rt.persistent_gradients)) return;
  if (store != GradientStore::kCopyOut) {
    TrafficBase sum = base;  // whose elements are those of the accumulated gradient
    sum.element = max(base.element, size_of(options_.gradient));
    const bool wider = sum.element > base.element;
    const PassTemplate& add = wider ? rt.accumulate_wider : rt.accumulate_gradient;
    kernels(template_kernels(context_, add, sum), op, add.host);
  }
  if (store == GradientStore::kCopyOut || store == GradientStore::kAccumulateCopyOut) {
    MemoryWork copy{"vectorized", base.parameters, base.parameters,
                    base.parameters.value / base.element.value};
    kernels({Kernel{copy, program_.intern("elementwise_kernel<MulFunctor> (bucket)")}}, op,
            rt.accumulate_gradient.host);
  }
  if (store == GradientStore::kAccumulateCopyOut) release(gradient_scope(p), gradient_slot(p));
}

bool SegmentBuilder::tied(TensorId p) const {
  return options_.tied && graph_.tensor(p).name == "token_embedding.weight";
}

// A tied weight's gradient is the head's with the embedding's, which comes later, added to it; only
// the sum is copied out.
GradientStore SegmentBuilder::store_of(const Op& op, GradientStore store) const {
  if (std::none_of(op.parameters.begin(), op.parameters.end(), [&](TensorId p) { return tied(p); }))
    return store;
  const bool fresh = store == GradientStore::kFresh || store == GradientStore::kCopyOut;
  if (role_.last) return fresh ? GradientStore::kFresh : GradientStore::kAccumulate;
  const bool copied =
      store == GradientStore::kCopyOut || store == GradientStore::kAccumulateCopyOut;
  return copied ? GradientStore::kAccumulateCopyOut : GradientStore::kAccumulate;
}

// What a bias's gradient takes beside itself.
void SegmentBuilder::column_sums(const Op& op) {
  const TrafficBase base = traffic_base(graph_, op);
  const std::vector<Bytes> buffers = column_sum_buffers(base.rows, base.columns, context_.gpu);
  const std::int32_t scratch = next_slot_++;
  allocate(scratch, buffers);
  if (!buffers.empty()) release(MemoryScope::kFrame, scratch);
}

// As the products give them: under autocast in the type that they compute in, to be cast.
void SegmentBuilder::compute_gradients(const Op& op, GradientStore asked, bool product) {
  const Runtime& rt = context_.runtime;
  Unstored made{&op, store_of(op, asked), next_slot_};
  next_slot_ += static_cast<std::int32_t>(op.parameters.size());
  made.kept = made.store == GradientStore::kFresh && !rt.persistent_gradients;
  made.fused = rt.fused_gradient_accumulation && is_product(op.kind);
  made.narrow = options_.autocast && is_product(op.kind) && !made.fused;
  std::int32_t s = made.slot;
  for (TensorId p : op.parameters) {
    const Bytes whole = graph_.tensor(p).bytes();
    if (made.kept && !made.narrow)
      allocate_gradient(p);
    else if (!made.fused)
      allocate(s, {made.narrow ? Bytes(whole.value / 2) : whole});
    ++s;
  }
  if (product)
    kernels(weight_gradient_kernels(context_, graph_, op, made.store != GradientStore::kFresh), op,
            rt.of(op.kind).backward.host_of(op));
  if (product && op.parameters.size() > 1 && rt.bias_gradient.sums_rows) column_sums(op);
  unstored_ = made;
}

void SegmentBuilder::allocate_gradient(TensorId p) {
  allocate(gradient_scope(p), gradient_slot(p),
           Bytes(graph_.tensor(p).elements() * size_of(options_.gradient).value),
           MemoryCategory::kGradients);
}

void SegmentBuilder::store_gradients() {
  if (!unstored_) return;
  const Unstored made = *unstored_;
  unstored_.reset();
  const PassTemplate& cast = context_.runtime.cast_gradient;
  std::int32_t s = made.slot;
  for (TensorId p : made.op->parameters) {
    const std::int32_t wide = next_slot_++;
    if (made.narrow) {
      TrafficBase base;
      base.parameters = graph_.tensor(p).bytes();
      base.element = size_of(graph_.tensor(p).dtype);
      if (made.kept)
        allocate_gradient(p);
      else
        allocate(wide, {base.parameters});
      kernels(template_kernels(context_, cast, base), *made.op, cast.host);
      release(MemoryScope::kFrame, s);
    }
    store_gradient(p, *made.op, made.store);
    if (!made.kept && !made.fused) release(MemoryScope::kFrame, made.narrow ? wide : s);
    ++s;
  }
}

// What autograd does of a product's parameters comes behind the cast of its input, which forward
// made last.
bool SegmentBuilder::stores_later(const std::vector<GradOp>& steps, std::size_t i) const {
  if (!unstored_ || !unstored_->narrow || i + 1 == steps.size()) return false;
  const Op& next = graph_.ops[static_cast<std::size_t>(steps[i + 1].forward)];
  return product_of_cast(next) == unstored_->op;
}

}  // namespace rehearse
