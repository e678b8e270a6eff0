#include <algorithm>
#include <cmath>

#include "strategies/segments/attention.hpp"
#include "strategies/segments/builder.hpp"

namespace rehearse {

// torch.autocast casts a product's operands from the last to the first: bias, weight, input.
void SegmentBuilder::cast_parameters(const Op& op) {
  if (!options_.autocast || !is_product(op.kind) || !cast_.insert(index_of(op)).second) return;
  for (auto p = op.parameters.rbegin(); p != op.parameters.rend(); ++p) {
    TrafficBase base;
    base.parameters = graph_.tensor(*p).bytes();
    allocate(MemoryScope::kFrame, cast_slot(*p), Bytes(base.parameters.value / 2),
             MemoryCategory::kActivations);
    kernels(template_kernels(context_, context_.runtime.cast_parameter, base), op,
            context_.runtime.cast_parameter.host);
  }
}

const Op* SegmentBuilder::product_of_cast(const Op& op) const {
  if (op.kind != OpKind::kCast || &op == &graph_.ops.back()) return nullptr;
  const Op* next = &op + 1;
  return is_product(next->kind) && next->inputs[0] == op.outputs[0] ? next : nullptr;
}

// torch.autocast keeps casts of parameters that train. A frozen one's is kept by what needs it in
// backward, and by nothing where that is recomputed.
void SegmentBuilder::drop_frozen_casts(const Op& op) {
  if (!options_.autocast || !is_product(op.kind) || trains(op)) return;
  const bool recomputes = options_.recompute == Recompute::kFull && !role_.first && !role_.last &&
                          activity_ == Activity::kForward;
  if (runs_backward(op) && !recomputes) return;
  for (TensorId p : op.parameters) release(MemoryScope::kFrame, cast_slot(p));
}

bool SegmentBuilder::is_expert_exchange(OpKind kind) {
  return kind == OpKind::kDispatch || kind == OpKind::kReturn || kind == OpKind::kGatherTokens ||
         kind == OpKind::kScatterTokens;
}

// Rows to the ranks of their experts and back: each rank's buffer is the larger of what it sends
// and what it receives.
void SegmentBuilder::expert_exchange(const Op& op, bool forward) {
  const Bytes in = graph_.tensor(op.inputs[0]).bytes(), out = graph_.tensor(op.outputs[0]).bytes();
  CollectiveOp kind = CollectiveOp::kAllToAll;
  if (op.kind == OpKind::kGatherTokens || op.kind == OpKind::kScatterTokens)
    kind = (op.kind == OpKind::kGatherTokens) == forward ? CollectiveOp::kAllGather
                                                         : CollectiveOp::kReduceScatter;
  collective(kind, max(in, out), op, GroupKind::kExpert);
}

// One int64 for each expert.
Bytes SegmentBuilder::counts_bytes() const {
  for (const Op& op : graph_.ops)
    if (op.kind == OpKind::kRoute) return Bytes(8 * graph_.tensor(op.inputs[0]).dims.back().size);
  return Bytes(0);
}

Bytes SegmentBuilder::gathered(const Op& op, bool forward) const {
  const Bytes whole = graph_.tensor(forward ? op.outputs[0] : op.inputs[0]).bytes();
  return gathered_in_fp8(context_, graph_, op, forward) ? Bytes(whole.value / 2) : whole;
}

void SegmentBuilder::forward_communication(const Op& op) {
  const bool sp = options_.sequence_parallel;
  const Bytes in = graph_.tensor(op.inputs.empty() ? op.outputs[0] : op.inputs[0]).bytes();
  if (op.kind == OpKind::kGather && sp)
    collective(CollectiveOp::kAllGather, gathered(op, true), op);
  if (op.kind == OpKind::kScatter && (!role_.first || options_.vocabulary_parallel))
    collective(sp ? CollectiveOp::kReduceScatter : CollectiveOp::kAllReduce, in, op);
  if (op.kind == OpKind::kSequenceToHeads || op.kind == OpKind::kHeadsToSequence)
    collective(CollectiveOp::kAllToAll, max(in, graph_.tensor(op.outputs[0]).bytes()), op,
               GroupKind::kContext);
  if (is_expert_exchange(op.kind)) expert_exchange(op, true);
  if (op.kind == OpKind::kGatherKeys)
    collective(CollectiveOp::kAllGather, graph_.tensor(op.outputs[0]).bytes(), op,
               GroupKind::kContext);
  if (op.kind == OpKind::kCrossEntropy && options_.vocabulary_parallel) {
    const Tensor& logits = graph_.tensor(op.inputs[0]);
    const Bytes row(4 * logits.elements() / logits.dims.back().size);
    for (int i = 0; i < 3; ++i) collective(CollectiveOp::kAllReduce, row, op);
  }
}

void SegmentBuilder::forward_kernels_of(const Op& op) {
  // The other ranks' counts have come before the host reads its own.
  if (op.kind == OpKind::kCounts && context_.runtime.exchanges_counts)
    collective(CollectiveOp::kAllToAll, counts_bytes(), op, GroupKind::kExpert);
  if (op.ring > 1)
    for (Bytes b : ring_messages(graph_, op, AttentionDirection::kForward))
      beside(CollectiveOp::kSendRecv, b, GroupKind::kContext);
  std::vector<Kernel> list = forward_kernels(context_, graph_, op);
  if (activity_ == Activity::kRecompute && in_part(op))
    for (Kernel& k : list)
      if (auto* product = std::get_if<GemmWork>(&k.work))
        product->n = std::llround(again(op) * static_cast<double>(product->n));
  const PassTemplate& pass = template_of(context_.runtime, graph_, op).forward;
  kernels(list, op, activity_ == Activity::kRecompute ? pass.host : pass.host_of(op));
  forward_communication(op);
}

// `run`: the run of fused operators that the operator belongs to; its last operator runs the
// kernel.
void SegmentBuilder::forward_operator(const Op& op, const std::set<TensorId>& keep,
                                      const FusedRun* run) {
  const bool once_more = activity_ == Activity::kRecompute;
  if (once_more && again(op) == 0) return;  // its results are there
  if (const Op* reader = run ? nullptr : product_of_cast(op); reader != nullptr)
    if (!once_more || again(*reader) > 0) cast_parameters(*reader);
  cast_parameters(op);
  const bool loss = role_.last && op.kind == OpKind::kCrossEntropy;
  for (TensorId t : op.outputs) {
    if (graph_.tensor(t).view_of != kNoTensor || (loss && t == graph_.output)) continue;
    if (run && run->inside.contains(t)) continue;
    const bool stays = keep.contains(t) || t == root(graph_.output);
    allocate(MemoryScope::kFrame, slot(t), graph_.tensor(t).bytes(),
             stays ? MemoryCategory::kActivations : MemoryCategory::kTemporary);
  }
  if (once_more && in_part(op)) release(MemoryScope::kFrame, part_slot(op.outputs[0]));
  const PassTemplate& pass = template_of(context_.runtime, graph_, op).forward;
  if (run) {
    if (&op == &graph_.ops[run->end - 1])
      kernels({fused_kernel(context_, graph_, *run)}, op, pass.host);
    return drop_frozen_casts(op);
  }
  std::vector<Bytes> temporary = temporaries(pass, traffic_base(graph_, op));
  // Keys and values of the hop that is computed and of the next.
  if (op.ring > 1)
    temporary.insert(temporary.end(), 2,
                     ring_messages(graph_, op, AttentionDirection::kForward).front());
  const std::int32_t scratch = next_slot_;
  allocate(scratch, temporary);
  forward_kernels_of(op);
  if (!temporary.empty()) release(MemoryScope::kFrame, scratch);
  drop_frozen_casts(op);
}

void SegmentBuilder::forward(const std::set<TensorId>& keep, std::size_t end, Activity activity,
                             const std::set<std::string>& held, bool pieces) {
  activity_ = activity;
  pending_host_ += context_.runtime.host_per_module;
  const bool again = activity == Activity::kRecompute;
  if (again) pending_host_ += context_.runtime.host_per_recompute;
  const bool checkpoints =
      options_.recompute == Recompute::kFull || options_.recompute == Recompute::kOperators;
  if (!again && checkpoints && !role_.first && !role_.last)
    pending_host_ += context_.runtime.host_per_checkpoint;
  const std::vector<FusedRun> runs = fused_runs(context_.runtime, graph_, keep, end);
  const auto run_of = [&](std::size_t i) -> const FusedRun* {
    for (const FusedRun& r : runs)
      if (i >= r.begin && i < r.end) return &r;
    return nullptr;
  };
  const auto fused_away = [&](TensorId r) {  // never there
    return std::any_of(runs.begin(), runs.end(),
                       [&](const FusedRun& f) { return f.inside.contains(r); });
  };
  std::map<TensorId, std::size_t> last_use;
  for (std::size_t i = 0; i < end; ++i) {
    const FusedRun* run = run_of(i);
    for (const auto* list : {&graph_.ops[i].inputs, &graph_.ops[i].outputs, &graph_.ops[i].holds})
      for (TensorId t : *list)
        if (!fused_away(root(t))) last_use[root(t)] = run ? run->end - 1 : i;
  }
  for (auto& [r, at] : last_use)
    if (held.contains(graph_.tensor(r).name)) at = end - 1;
  for (std::size_t i = 0; i < end; ++i) {
    forward_operator(graph_.ops[i], keep, run_of(i));
    for (const auto& [r, at] : last_use) {
      const bool loss = role_.last && r == root(graph_.output);
      const bool outside = graph_.tensor(r).kind == TensorKind::kInput;
      if (at == i && !again && keep.contains(r) && !role_.first && !role_.last) keep_part(r);
      if (at != i || loss || keep.contains(r) || (outside && !is_input_root(r))) continue;
      if ((r == root(graph_.output) && !again) || (is_input_root(r) && (again || role_.first)))
        continue;
      release_root(r);
    }
    if (pieces && graph_.tensor(graph_.ops[i].outputs[0]).name == "logits") cut({});
  }
  // An operator that saves only what it reads has made its casts when recomputation stops there.
  if (end < graph_.ops.size() && (!backward_.saved[end].empty() || saves_weight(graph_.ops[end])))
    cast_parameters(graph_.ops[end]);
}

}  // namespace rehearse
