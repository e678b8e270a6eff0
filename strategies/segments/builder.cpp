#include "strategies/segments/builder.hpp"

#include <algorithm>

namespace rehearse {

SegmentBuilder::SegmentBuilder(Program& program, const KernelContext& context, const OpGraph& graph,
                               const BackwardGraph& backward, GraphRole role,
                               const SegmentOptions& options)
    : program_(program),
      context_(context),
      graph_(graph),
      backward_(backward),
      role_(role),
      options_(options),
      next_slot_(static_cast<std::int32_t>(2 + 4 * graph.tensors.size())) {}

void SegmentBuilder::emit(Instr i) {
  i.host += pending_host_;
  pending_host_ = Seconds(0);
  i.activity = activity_;
  pieces_.back().segment.instrs.push_back(std::move(i));
}

void SegmentBuilder::kernels(const std::vector<Kernel>& list, const Op& op, Seconds host) {
  pending_host_ += host;
  const std::uint32_t label = program_.intern(op.name);
  for (const Kernel& k : list) emit({k, context_.runtime.host_per_kernel, label, activity_});
}

void SegmentBuilder::collective(CollectiveOp op, Bytes bytes, const Op& at) {
  if (options_.tensor_ranks == 1) return;
  emit({CollectiveWork{op, GroupKind::kTensor, bytes, Bytes(0)},
        context_.runtime.host_per_collective, program_.intern(at.name), activity_});
}

Bytes SegmentBuilder::rounded(Bytes b) const {
  const std::int64_t g = context_.runtime.allocation_granularity.value;
  return Bytes((b.value + g - 1) / g * g);
}

void SegmentBuilder::allocate(MemoryScope scope, std::int32_t s, Bytes bytes,
                              MemoryCategory category) {
  const MemoryChange change{scope, true, category, s, rounded(bytes)};
  filled_[{scope, s}] = change;
  emit({change, Seconds(0), 0, activity_});
}

MemoryChange SegmentBuilder::filled_elsewhere(MemoryScope scope, std::int32_t s) const {
  MemoryChange c{scope, false, MemoryCategory::kActivations, s, Bytes(0)};
  const auto tensors = static_cast<std::int32_t>(graph_.tensors.size());
  if (scope == MemoryScope::kPrevious) {
    c.bytes = graph_.tensor(graph_.input).bytes();
  } else if (scope == MemoryScope::kNext) {
    c.bytes = graph_.tensor(graph_.output).bytes();
    c.category = MemoryCategory::kTemporary;
  } else if (scope == MemoryScope::kRank) {
    c.bytes = Bytes(graph_.tensor(s).elements() * size_of(options_.gradient).value);
    c.category = MemoryCategory::kGradients;
  } else if (s == 0) {
    c.bytes = graph_.tensor(root(graph_.output)).bytes();
  } else if (s >= 2 && s < 2 + tensors) {
    c.bytes = graph_.tensor(s - 2).bytes();
  } else if (s >= 2 + tensors && s < 2 + 2 * tensors) {
    c.bytes = Bytes(graph_.tensor(s - 2 - tensors).bytes().value / 2);
  } else if (s >= 2 + 2 * tensors && s < 2 + 2 * tensors + static_cast<std::int32_t>(graph_.ops.size())) {
    const Op& op = graph_.ops[static_cast<std::size_t>(s - 2 - 2 * tensors)];
    c.bytes = graph_.tensor(op.outputs[0]).bytes();
  }
  c.bytes = rounded(c.bytes);
  return c;
}

void SegmentBuilder::release(MemoryScope scope, std::int32_t s) {
  const auto it = filled_.find({scope, s});
  MemoryChange change = it != filled_.end() ? it->second : filled_elsewhere(scope, s);
  change.allocate = false;
  if (it != filled_.end()) filled_.erase(it);
  emit({change, Seconds(0), 0, activity_});
}

void SegmentBuilder::cut(std::vector<TensorId> ready) {
  pieces_.back().ready = std::move(ready);
  pieces_.emplace_back();
}

TensorId SegmentBuilder::root(TensorId t) const {
  while (t != kNoTensor && graph_.tensor(t).view_of != kNoTensor) t = graph_.tensor(t).view_of;
  return t;
}

// Views of a whole tensor share its gradient; views of a part have their own.
TensorId SegmentBuilder::gradient_root(TensorId t) const {
  while (t != kNoTensor) {
    const Tensor& v = graph_.tensor(t);
    if (v.view_of == kNoTensor || graph_.tensor(v.view_of).elements() != v.elements()) break;
    t = v.view_of;
  }
  return t;
}

std::int32_t SegmentBuilder::slot(TensorId r) const {
  return r == root(graph_.output) ? 0 : 2 + r;
}

void SegmentBuilder::release_root(TensorId r) {
  if (is_input_root(r)) {
    if (!role_.first) release(MemoryScope::kPrevious, 0);
  } else {
    release(MemoryScope::kFrame, slot(r));
  }
}

bool SegmentBuilder::wants_gradient(TensorId t) const {
  const Tensor& x = graph_.tensor(t);
  if (x.dtype == DType::kInt64 || x.dtype == DType::kBool) return false;
  return x.kind != TensorKind::kParameter;
}

bool SegmentBuilder::recomputed(const Op& op) const {
  if (options_.recompute == Recompute::kFull) return true;
  if (options_.recompute == Recompute::kNone) return false;
  return op.kind == OpKind::kAttention || op.kind == OpKind::kScores ||
         op.kind == OpKind::kSoftmax || op.kind == OpKind::kContext ||
         op.name == "attention_dropout" || op.name == "context_cast";
}

std::set<TensorId> SegmentBuilder::saved_roots() const {
  std::set<TensorId> out;
  for (const auto& list : backward_.saved)
    for (TensorId t : list)
      if (graph_.tensor(t).dtype != DType::kInt64) out.insert(root(t));
  return out;
}

std::set<TensorId> SegmentBuilder::kept_roots() const {
  const bool block = !role_.first && !role_.last;
  if (options_.recompute == Recompute::kFull && block) return {root(graph_.input)};
  if (options_.recompute != Recompute::kSelective || !block) return saved_roots();
  // What recomputed operators make is kept only if others save it; what they read is kept.
  std::set<TensorId> made, out;
  for (const Op& op : graph_.ops)
    if (recomputed(op))
      for (TensorId t : op.outputs) made.insert(root(t));
  for (std::size_t i = 0; i < graph_.ops.size(); ++i)
    for (TensorId t : backward_.saved[i])
      if (graph_.tensor(t).dtype != DType::kInt64 &&
          (!recomputed(graph_.ops[i]) || !made.contains(root(t))))
        out.insert(root(t));
  return out;
}

std::size_t SegmentBuilder::recompute_end() const {
  for (std::size_t i = graph_.ops.size(); i-- > 0;) {
    if (backward_.saved[i].empty()) continue;
    const auto& outputs = graph_.ops[i].outputs;
    const bool saves_result = std::any_of(
        backward_.saved[i].begin(), backward_.saved[i].end(),
        [&](TensorId t) { return std::find(outputs.begin(), outputs.end(), t) != outputs.end(); });
    return saves_result ? i + 1 : i;
  }
  return 0;
}

void SegmentBuilder::cast_parameters(const Op& op) {
  if (!options_.autocast || op.kind != OpKind::kLinear) return;
  for (TensorId p : op.parameters) {
    TrafficBase base;
    base.parameters = graph_.tensor(p).bytes();
    allocate(MemoryScope::kFrame, cast_slot(p),
             Bytes(base.parameters.value / 2), MemoryCategory::kActivations);
    kernels(template_kernels(context_, context_.runtime.cast_parameter, base), op,
            context_.runtime.cast_parameter.host);
  }
}

void SegmentBuilder::forward_communication(const Op& op) {
  const bool sp = options_.sequence_parallel;
  const Bytes in = graph_.tensor(op.inputs.empty() ? op.outputs[0] : op.inputs[0]).bytes();
  if (op.kind == OpKind::kGather && sp)
    collective(CollectiveOp::kAllGather, graph_.tensor(op.outputs[0]).bytes(), op);
  if (op.kind == OpKind::kScatter && (!role_.first || options_.vocabulary_parallel))
    collective(sp ? CollectiveOp::kReduceScatter : CollectiveOp::kAllReduce, in, op);
  if (op.kind == OpKind::kCrossEntropy && options_.vocabulary_parallel) {
    const Tensor& logits = graph_.tensor(op.inputs[0]);
    const Bytes row(4 * logits.elements() / logits.dims.back().size);
    for (int i = 0; i < 3; ++i) collective(CollectiveOp::kAllReduce, row, op);
  }
}

void SegmentBuilder::forward_operator(const Op& op, const std::set<TensorId>& keep) {
  cast_parameters(op);
  const bool loss = role_.last && op.kind == OpKind::kCrossEntropy;
  for (TensorId t : op.outputs) {
    if (graph_.tensor(t).view_of != kNoTensor || (loss && t == graph_.output)) continue;
    const bool stays = keep.contains(t) || t == root(graph_.output);
    allocate(MemoryScope::kFrame, slot(t), graph_.tensor(t).bytes(),
             stays ? MemoryCategory::kActivations : MemoryCategory::kTemporary);
  }
  const PassTemplate& pass = context_.runtime.of(op.kind).forward;
  const Bytes temporary = temporary_bytes(pass, traffic_base(graph_, op));
  const std::int32_t scratch = next_slot_;
  if (temporary.value > 0)
    allocate(MemoryScope::kFrame, scratch, temporary, MemoryCategory::kTemporary);
  kernels(forward_kernels(context_, graph_, op), op, pass.host);
  forward_communication(op);
  if (temporary.value > 0) release(MemoryScope::kFrame, scratch);
}

void SegmentBuilder::forward(const std::set<TensorId>& keep, std::size_t end, Activity activity) {
  activity_ = activity;
  std::map<TensorId, std::size_t> last_use;
  for (std::size_t i = 0; i < end; ++i) {
    for (TensorId t : graph_.ops[i].inputs) last_use[root(t)] = i;
    for (TensorId t : graph_.ops[i].outputs) last_use[root(t)] = i;
  }
  for (std::size_t i = 0; i < end; ++i) {
    forward_operator(graph_.ops[i], keep);
    for (const auto& [r, at] : last_use) {
      const bool loss = role_.last && r == root(graph_.output);
      const bool outside = graph_.tensor(r).kind == TensorKind::kInput;
      const bool again = activity == Activity::kRecompute;
      if (at != i || loss || keep.contains(r) || (outside && !is_input_root(r))) continue;
      if ((r == root(graph_.output) && !again) || (is_input_root(r) && (again || role_.first)))
        continue;
      release_root(r);
    }
  }
}

std::vector<SegmentBuilder::Piece> SegmentBuilder::take(const std::string& name) {
  if (pending_host_.value > 0)  // host work after the last kernel: on a change of nothing
    emit({MemoryChange{MemoryScope::kFrame, false, MemoryCategory::kTemporary, -1, Bytes(0)},
          Seconds(0), 0, activity_});
  if (pieces_.size() > 1 && pieces_.back().segment.instrs.empty()) pieces_.pop_back();
  for (Piece& p : pieces_) p.segment.name = name;
  return std::move(pieces_);
}

}  // namespace rehearse
