#include <algorithm>

#include "strategies/segments/attention.hpp"
#include "strategies/segments/builder.hpp"

namespace rehearse {
namespace {

bool passes_through(const Op& op, const OpGraph& g) {
  if (op.kind == OpKind::kAdd || op.kind == OpKind::kPositionEmbedding) return true;
  if (op.kind == OpKind::kReorder) return true;                // the gradient is a view
  if (op.kind == OpKind::kJoin && op.parts == 1) return true;  // the gradients are views
  return (op.kind == OpKind::kGather || op.kind == OpKind::kScatter) &&
         g.tensor(op.outputs[0]).view_of != kNoTensor;
}

}  // namespace

void SegmentBuilder::drop_gradient(TensorId r) {
  const auto it = gradients_.find(r);
  if (it == gradients_.end()) return;
  // A buffer that several tensors share (through additions) goes with its last user.
  int users = 0;
  for (const auto& [t, g] : gradients_)
    users += g.scope == it->second.scope && g.slot == it->second.slot;
  if (users == 1) release(it->second.scope, it->second.slot);
  gradients_.erase(it);
}

// Gradients of the parts of a tensor (q, k, v of the fused projection) become that tensor's.
void SegmentBuilder::collect_views(TensorId out) {
  const TensorId r = gradient_root(out);
  if (gradients_.contains(r)) return;
  std::vector<TensorId> parts;
  for (const auto& [t, g] : gradients_)
    if (t != r && root(t) == root(r)) parts.push_back(t);
  if (parts.empty()) return;
  const Bytes bytes = graph_.tensor(r).bytes();
  gradients_[r] = {MemoryScope::kFrame, next_slot_, bytes, 1};
  allocate(MemoryScope::kFrame, next_slot_++, bytes, MemoryCategory::kTemporary);
  for (TensorId t : parts) drop_gradient(t);
}

void SegmentBuilder::contribute(TensorId input, const Op& op, bool shared) {
  const TensorId r = gradient_root(input);
  const auto existing = gradients_.find(r);
  const auto incoming = gradients_.find(gradient_root(op.outputs[0]));
  if (shared && existing == gradients_.end()) {
    if (incoming != gradients_.end()) gradients_[r] = incoming->second;
    return;
  }
  const Bytes bytes = graph_.tensor(r).bytes();
  const std::int32_t s = next_slot_++;
  if (!shared) allocate(MemoryScope::kFrame, s, bytes, MemoryCategory::kTemporary);
  if (existing == gradients_.end()) {
    gradients_[r] = {MemoryScope::kFrame, s, bytes, 1};
    return;
  }
  TrafficBase base;
  base.output = bytes;
  base.element = size_of(graph_.tensor(r).dtype);
  const PassTemplate& add = context_.runtime.accumulate_residual;
  if (!context_.runtime.fused_residual_gradients)
    kernels(template_kernels(context_, add, base), op, add.host);
  if (!shared) release(MemoryScope::kFrame, s);
}

void SegmentBuilder::backward_communication(const Op& op) {
  const bool sp = options_.sequence_parallel;
  if (op.kind == OpKind::kGather && !reduced_.contains(op.outputs[0]))
    collective(sp ? CollectiveOp::kReduceScatter : CollectiveOp::kAllReduce,
               graph_.tensor(op.outputs[0]).bytes(), op);
  if (op.kind == OpKind::kScatter && sp && (!role_.first || options_.vocabulary_parallel))
    collective(CollectiveOp::kAllGather, gathered(op, false), op);
  if (op.kind == OpKind::kSequenceToHeads || op.kind == OpKind::kHeadsToSequence)
    collective(CollectiveOp::kAllToAll,
               max(graph_.tensor(op.inputs[0]).bytes(), graph_.tensor(op.outputs[0]).bytes()), op,
               GroupKind::kContext);
  if (is_expert_exchange(op.kind)) expert_exchange(op, false);
  if (op.kind == OpKind::kGatherKeys)
    collective(CollectiveOp::kReduceScatter, graph_.tensor(op.outputs[0]).bytes(), op,
               GroupKind::kContext);
}

bool SegmentBuilder::hands_on(const Op& op) const {
  return op.inputs.size() == 1 && gradient_root(op.inputs[0]) == gradient_root(op.outputs[0]);
}

// `of`: without those of inputs, the kernels of parameters alone, where they are kernels of their
// own.
void SegmentBuilder::input_gradients(const Op& op, GradKind of, bool alone) {
  const PassTemplate& pass = template_of(context_.runtime, graph_, op).backward;
  std::vector<Bytes> temporary = temporaries(pass, traffic_base(graph_, op));
  if (op.ring > 1) {
    const auto messages = ring_messages(graph_, op, AttentionDirection::kBackward);
    for (Bytes b : messages) beside(CollectiveOp::kSendRecv, b, GroupKind::kContext);
    temporary.insert(temporary.end(), 4, messages.front());  // of two hops, with their gradients
  }
  const std::int32_t scratch = next_slot_++;
  allocate(scratch, temporary);
  // A cast that is fused with a norm costs nothing.
  const bool absorbed =
      op.kind == OpKind::kCast && context_.runtime.fused_operators.contains(op.kind);
  const bool pass_through = absorbed || passes_through(op, graph_);
  std::vector<TensorId> later;
  for (TensorId in : op.inputs) {
    if (!wants_gradient(in) || (role_.first && in == graph_.input) || hands_on(op)) continue;
    if (!pass_through && !gradients_.contains(gradient_root(in)))
      contribute(in, op, false);
    else
      later.push_back(in);
  }
  if (!absorbed) {
    std::vector<Kernel> list;
    if (of == GradKind::kParameters) list = other_gradient_kernels(context_, graph_, op);
    if (list.empty()) list = input_gradient_kernels(context_, graph_, op, alone);
    kernels(list, op, pass.host_of(op));
  }
  backward_communication(op);
  for (TensorId in : later) contribute(in, op, pass_through);
  if (!temporary.empty()) release(MemoryScope::kFrame, scratch);
}

void SegmentBuilder::release_saved(std::size_t op) {
  for (TensorId t : backward_.saved[op]) {
    if (is_data(t)) continue;
    const TensorId r = root(t);
    if (--saved_references_[r] == 0) release_root(r);
  }
  if (options_.autocast && is_product(graph_.ops[op].kind))
    for (TensorId p : graph_.ops[op].parameters) release(MemoryScope::kFrame, cast_slot(p));
}

// Selective recomputation: the attention core runs again just before its backward.
void SegmentBuilder::recompute_before(std::size_t op) {
  if (recompute_done_ || options_.recompute != Recompute::kSelective || role_.first || role_.last ||
      !recomputed(graph_.ops[op]))
    return;
  recompute_done_ = true;
  activity_ = Activity::kRecompute;
  const std::set<TensorId> kept = kept_roots(), saved = saved_roots();
  for (const Op& f : graph_.ops) {
    if (!recomputed(f)) continue;
    for (TensorId t : f.outputs)
      if (graph_.tensor(t).view_of == kNoTensor && saved.contains(t) && !kept.contains(t))
        allocate(MemoryScope::kFrame, slot(t), graph_.tensor(t).bytes(),
                 MemoryCategory::kActivations);
    forward_kernels_of(f);
  }
  activity_ = Activity::kBackward;
}

// The gradient of the input has a place of its own, where the graph before finds it.
void SegmentBuilder::rename_input_gradient() {
  const auto it = gradients_.find(gradient_root(graph_.input));
  if (role_.first || it == gradients_.end()) return;
  const Bytes bytes = it->second.bytes;
  release(it->second.scope, it->second.slot);
  allocate(MemoryScope::kFrame, 1, bytes, MemoryCategory::kTemporary);
}

bool SegmentBuilder::overlaps(Part part) const {
  return part == Part::kAll && context_.runtime.overlaps_tensor_communication;
}

// Where communication hides behind wgrad, dgrad comes first.
std::vector<GradOp> SegmentBuilder::backward_order(Part part) const {
  std::vector<GradOp> out = backward_.ops;
  for (std::size_t i = 0; overlaps(part) && i + 1 < out.size(); ++i)
    if (out[i].forward == out[i + 1].forward && out[i].kind == GradKind::kParameters)
      std::swap(out[i], out[i + 1]);
  return out;
}

// What an operator reads and did not keep, gathered once more; the tensors to free afterwards.
std::vector<TensorId> SegmentBuilder::gather_again(const Op& op, bool beside_kernel) {
  std::vector<TensorId> out;
  for (OpId id : regathers(context_.runtime, graph_, op)) {
    const Op& gather = graph_.ops[static_cast<std::size_t>(id)];
    const TensorId t = gather.outputs[0];
    const GroupKind group =
        gather.kind == OpKind::kGatherKeys ? GroupKind::kContext : GroupKind::kTensor;
    allocate(MemoryScope::kFrame, slot(t), graph_.tensor(t).bytes(), MemoryCategory::kTemporary);
    if (beside_kernel)
      beside(CollectiveOp::kAllGather, graph_.tensor(t).bytes(), group);
    else
      collective(CollectiveOp::kAllGather, graph_.tensor(t).bytes(), op, group);
    out.push_back(t);
  }
  return out;
}

// Whether the parameters of an operator have their gradients from the second part of a backward in
// two.
bool SegmentBuilder::deferred(const Op& op) const {
  if (!trains(op)) return false;
  return is_product(op.kind) || context_.runtime.splits_backward_by_autograd;
}

// Whether the first part frees what an operator saved. Autograd keeps the graph for the second, but
// for the loss, which nothing with parameters leads to.
bool SegmentBuilder::freed_by_inputs(const Op& op) const {
  if (!context_.runtime.splits_backward_by_autograd) return !is_product(op.kind) || !trains(op);
  return role_.last && (op.kind == OpKind::kCrossEntropy || op.kind == OpKind::kCast);
}

void SegmentBuilder::count_saved(Part part) {
  for (std::size_t op = 0; op < graph_.ops.size(); ++op)
    for (TensorId t : backward_.saved[op])
      if (!is_data(t) && (part != Part::kWeights || !freed_by_inputs(graph_.ops[op])))
        ++saved_references_[root(t)];
}

// The loss (and the cast of its logits) is outside the model: what wraps the model starts after it.
bool SegmentBuilder::ends_loss(const std::vector<GradOp>& steps, std::size_t i) const {
  const auto of_loss = [&](const GradOp& step) {
    const OpKind kind = graph_.ops[static_cast<std::size_t>(step.forward)].kind;
    return kind == OpKind::kCrossEntropy || kind == OpKind::kCast;
  };
  return role_.last && of_loss(steps[i]) && i + 1 < steps.size() && !of_loss(steps[i + 1]) &&
         std::all_of(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(i), of_loss);
}

// What the first part leaves: gradients of parameters from gradients of outputs that it kept.
void SegmentBuilder::backward_weights(GradientStore store) {
  for (const GradOp& step : backward_order(Part::kWeights)) {
    const auto index = static_cast<std::size_t>(step.forward);
    const Op& op = graph_.ops[index];
    const bool product = is_product(op.kind);
    if (!deferred(op) || (product && step.kind != GradKind::kParameters)) continue;
    const bool autograd = context_.runtime.splits_backward_by_autograd;
    const std::int32_t copy = next_slot_++;
    if (autograd) {
      allocate(MemoryScope::kFrame, copy, graph_.tensor(op.outputs[0]).bytes(),
               MemoryCategory::kTemporary);
      kernels(template_kernels(context_, context_.runtime.kept_gradient, traffic_base(graph_, op)),
              op, context_.runtime.kept_gradient.host);
    }
    const std::vector<TensorId> again = product ? gather_again(op, false) : std::vector<TensorId>{};
    if (product) {
      parameter_gradients(op, store, Part::kWeights);
      store_gradients();
    } else {
      kernels(other_gradient_kernels(context_, graph_, op), op,
              template_of(context_.runtime, graph_, op).backward.host);
      compute_gradients(op, store, false);
      store_gradients();
    }
    for (TensorId t : again) release(MemoryScope::kFrame, slot(t));
    if (autograd) {
      release(MemoryScope::kFrame, copy);
      continue;
    }
    release(MemoryScope::kFrame, deferred_slot(step.forward));
    release_saved(index);
  }
  if (!context_.runtime.splits_backward_by_autograd) return;
  for (std::size_t i = 0; i < graph_.ops.size(); ++i) {
    if (deferred(graph_.ops[i])) release(MemoryScope::kFrame, deferred_slot(static_cast<OpId>(i)));
    if (!freed_by_inputs(graph_.ops[i])) release_saved(i);
  }
}

// One operator's gradients, but for those of a product's parameters.
void SegmentBuilder::backward_operator(const GradOp& step, GradientStore store, Part part) {
  const Op& op = graph_.ops[static_cast<std::size_t>(step.forward)];
  const bool later = part == Part::kInputs && deferred(op);
  input_gradients(op, step.kind, later || !trains(op));
  if (!later && trains(op) && !is_product(op.kind)) compute_gradients(op, store, false);
}

// The loss turns its logits into their gradient.
bool SegmentBuilder::in_place(const Op& op) const {
  return op.kind == OpKind::kCrossEntropy && context_.runtime.loss_in_place &&
         !context_.runtime.fused_loss;
}

void SegmentBuilder::backward_step(const GradOp& step, GradientStore store, Part part) {
  const auto index = static_cast<std::size_t>(step.forward);
  const Op& op = graph_.ops[index];
  const bool product = is_product(op.kind);
  const bool weights = step.kind == GradKind::kParameters && product;
  if (weights && part == Part::kInputs) return;
  recompute_before(index);
  collect_views(op.outputs[0]);
  const bool reads_inputs = !product || trains(op);
  if (gathered_again_.empty() && reads_inputs && (!product || weights || overlaps(part)))
    gathered_again_ = gather_again(op, product && overlaps(part));
  if (in_place(op)) release_saved(index);
  if (weights)
    parameter_gradients(op, store, part);
  else
    backward_operator(step, store, part);
  if (product && !weights) return;
  for (TensorId t : gathered_again_) release(MemoryScope::kFrame, slot(t));
  gathered_again_.clear();
}

// After all of its gradients: what only they needed.
void SegmentBuilder::end_operator(OpId id, Part part) {
  const auto index = static_cast<std::size_t>(id);
  const Op& op = graph_.ops[index];
  const bool autograd = part == Part::kInputs && context_.runtime.splits_backward_by_autograd;
  if (!hands_on(op))
    for (TensorId out : op.outputs) drop_gradient(gradient_root(out));
  if (part == Part::kInputs && deferred(op))
    allocate(MemoryScope::kFrame, deferred_slot(id), graph_.tensor(op.outputs[0]).bytes(),
             MemoryCategory::kActivations);
  const bool frees = part == Part::kAll || (!autograd && freed_by_inputs(op));
  if (frees && !in_place(op)) release_saved(index);
}

void SegmentBuilder::backward(GradientStore store, Part part, bool pieces) {
  activity_ = Activity::kBackward;
  pending_host_ += context_.runtime.host_per_module;
  count_saved(part);
  if (part == Part::kWeights) return backward_weights(store);
  const bool autograd = part == Part::kInputs && context_.runtime.splits_backward_by_autograd;
  if (!role_.last)
    gradients_[gradient_root(graph_.output)] = {MemoryScope::kNext, 1,
                                                graph_.tensor(graph_.output).bytes(), 1};
  const std::vector<GradOp> steps = backward_order(part);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    backward_step(steps[i], store, part);
    if (i + 1 < steps.size() && steps[i + 1].forward == steps[i].forward) continue;
    end_operator(steps[i].forward, part);
    if (stores_later(steps, i)) continue;
    const Op* stored = unstored_ ? unstored_->op : nullptr;
    store_gradients();
    if (pieces && stored != nullptr) cut(stored->parameters);
    if (pieces && ends_loss(steps, i)) cut({});
  }
  for (std::size_t i = 0; autograd && i < graph_.ops.size(); ++i)
    if (freed_by_inputs(graph_.ops[i])) release_saved(i);
  // What recomputation began with, and no gradient reads.
  const TensorId input = root(graph_.input);
  if (kept_roots().contains(input) && !saved_roots().contains(input)) release_root(input);
  rename_input_gradient();
}

}  // namespace rehearse
