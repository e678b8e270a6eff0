#include "strategies/segments/builder.hpp"

#include <algorithm>
#include <cmath>

namespace rehearse {
namespace {

int ranks_of(const SegmentOptions& o, GroupKind group) {
  return group == GroupKind::kContext  ? o.context_ranks
         : group == GroupKind::kExpert ? o.expert_ranks
                                       : o.tensor_ranks;
}

}  // namespace

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
  const Runtime& rt = context_.runtime;
  for (const Kernel& k : list) {
    if (beside_.empty() || std::holds_alternative<MemoryWork>(k.work)) {
      emit({k, rt.host_per_kernel + k.host, label, activity_});
      if (k.synchronizes) emit({Synchronize{}, Seconds(0), label, activity_});
      continue;
    }
    const Seconds issuing = rt.collective_host(ranks_of(options_, beside_.front().group));
    emit({Overlap{beside_.front(), k, rt.host_per_kernel}, issuing, label, activity_});
    beside_.pop_front();
  }
}

void SegmentBuilder::collective(CollectiveOp op, Bytes bytes, const Op& at, GroupKind group) {
  const int ranks = ranks_of(options_, group);
  if (ranks == 1) return;
  emit({CollectiveWork{op, group, bytes}, context_.runtime.collective_host(ranks),
        program_.intern(at.name), activity_});
}

void SegmentBuilder::beside(CollectiveOp op, Bytes bytes, GroupKind group) {
  if (ranks_of(options_, group) > 1) beside_.push_back({op, group, bytes});
}

void SegmentBuilder::allocate(MemoryScope scope, std::int32_t s, Bytes bytes,
                              MemoryCategory category) {
  const MemoryChange change{scope, true, category, s, context_.runtime.allocated(bytes)};
  filled_[{scope, s}] = change;
  emit({change, Seconds(0), program_.intern(name_of(scope, s)), activity_});
}

std::string SegmentBuilder::name_of(MemoryScope scope, std::int32_t s) const {
  const auto tensors = static_cast<std::int32_t>(graph_.tensors.size());
  if (scope == MemoryScope::kRank || scope == MemoryScope::kModel) return "gradients";
  if (s == 0) return graph_.tensor(root(graph_.output)).name;
  if (s >= 2 && s < 2 + tensors) return graph_.tensor(s - 2).name;
  if (s >= 2 + tensors && s < 2 + 2 * tensors)
    return graph_.tensor(s - 2 - tensors).name + " (cast)";
  return activity_ == Activity::kBackward ? "gradients of activations" : "temporary";
}

void SegmentBuilder::allocate(std::int32_t s, const std::vector<Bytes>& pieces) {
  if (pieces.empty()) return;
  std::vector<Bytes> sizes;
  Bytes all(0);
  for (Bytes b : pieces) all += sizes.emplace_back(context_.runtime.allocated(b));
  const MemoryChange change{MemoryScope::kFrame,
                            true,
                            MemoryCategory::kTemporary,
                            s,
                            all,
                            program_.add_pieces(std::move(sizes))};
  filled_[{MemoryScope::kFrame, s}] = change;
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
  } else if (scope == MemoryScope::kRank || scope == MemoryScope::kModel) {
    for (const Op& op : graph_.ops)
      for (TensorId p : op.parameters)
        if (gradient_scope(p) == scope && gradient_slot(p) == s)
          c.bytes = Bytes(graph_.tensor(p).elements() * size_of(options_.gradient).value);
    c.category = MemoryCategory::kGradients;
  } else if (s == 0) {
    c.bytes = graph_.tensor(root(graph_.output)).bytes();
  } else if (s >= 2 && s < 2 + tensors) {
    c.bytes = graph_.tensor(s - 2).bytes();
  } else if (s >= 2 + tensors && s < 2 + 2 * tensors) {
    c.bytes = Bytes(graph_.tensor(s - 2 - tensors).bytes().value / 2);
  } else if (s >= 2 + 3 * tensors && s < 2 + 4 * tensors) {
    for (const Op& op : graph_.ops)
      if (op.outputs[0] == s - 2 - 3 * tensors) c.bytes = kept_part(op);
  } else if (s >= 2 + 2 * tensors &&
             s < 2 + 2 * tensors + static_cast<std::int32_t>(graph_.ops.size())) {
    const Op& op = graph_.ops[static_cast<std::size_t>(s - 2 - 2 * tensors)];
    c.bytes = graph_.tensor(op.outputs[0]).bytes();
  }
  c.bytes = context_.runtime.allocated(c.bytes);
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

std::int32_t SegmentBuilder::slot(TensorId r) const { return r == root(graph_.output) ? 0 : 2 + r; }

void SegmentBuilder::release_root(TensorId r) {
  if (is_input_root(r)) {
    if (!role_.first) release(MemoryScope::kPrevious, 0);
  } else {
    release(MemoryScope::kFrame, slot(r));
  }
}

std::set<TensorId> SegmentBuilder::saved_roots() const {
  std::set<TensorId> out;
  for (const auto& list : backward_.saved)
    for (TensorId t : list)
      if (!is_data(t)) out.insert(root(t));
  return out;
}

std::set<TensorId> SegmentBuilder::kept_roots() const {
  const bool block = !role_.first && !role_.last && !backward_.ops.empty();
  if (options_.recompute == Recompute::kFull && block) return {root(graph_.input)};
  if (options_.recompute == Recompute::kOperators && block) return kept_results();
  if (options_.recompute != Recompute::kSelective || !block) return saved_roots();
  // What recomputed operators make is kept only if others save it; what they read is kept.
  std::set<TensorId> made, out;
  for (const Op& op : graph_.ops)
    if (recomputed(op))
      for (TensorId t : op.outputs) made.insert(root(t));
  for (std::size_t i = 0; i < graph_.ops.size(); ++i)
    for (TensorId t : backward_.saved[i])
      if (!is_data(t) && (!recomputed(graph_.ops[i]) || !made.contains(root(t))))
        out.insert(root(t));
  return out;
}

std::vector<MemoryChange> SegmentBuilder::kept() const {
  std::vector<MemoryChange> out;
  for (TensorId r : kept_roots()) {
    const bool part = std::any_of(graph_.ops.begin(), graph_.ops.end(),
                                  [&](const Op& op) { return op.outputs[0] == r && in_part(op); });
    if (is_input_root(r))
      out.push_back(filled_elsewhere(MemoryScope::kPrevious, 0));
    else if (r != root(graph_.output))
      out.push_back(filled_elsewhere(MemoryScope::kFrame, part ? part_slot(r) : slot(r)));
  }
  return out;
}

// The input, and of what does not run again (or not all of it) what backward or recomputation
// reads.
std::set<TensorId> SegmentBuilder::kept_results() const {
  const std::set<TensorId> saved = saved_roots();
  std::set<TensorId> made, read, out{root(graph_.input)};
  const std::size_t end = recompute_end();
  for (std::size_t i = 0; i < end; ++i) {
    const Op& op = graph_.ops[i];
    if (again(op) > 0)
      for (TensorId t : op.inputs) read.insert(root(t));
    if (again(op) < 1)
      for (TensorId t : op.outputs) made.insert(root(t));
  }
  for (TensorId r : made)
    if (saved.contains(r) || read.contains(r)) out.insert(r);
  return out;
}

Bytes SegmentBuilder::kept_part(const Op& op) const {
  const auto bytes = static_cast<double>(graph_.tensor(op.outputs[0]).bytes().value);
  return Bytes(std::llround(bytes * (1 - again(op))));
}

// After its last use in forward, a product's result makes room for the part of it that is kept.
void SegmentBuilder::keep_part(TensorId r) {
  for (const Op& op : graph_.ops) {
    if (op.outputs[0] != r || !in_part(op)) continue;
    release_root(r);
    allocate(MemoryScope::kFrame, part_slot(r), kept_part(op), MemoryCategory::kActivations);
  }
}

std::size_t SegmentBuilder::recompute_end() const {
  if (context_.runtime.recomputes_whole_block) return graph_.ops.size();
  for (std::size_t i = graph_.ops.size(); i-- > 0;) {
    if (backward_.saved[i].empty() && !saves_weight(graph_.ops[i])) continue;
    const auto& outputs = graph_.ops[i].outputs;
    const bool saves_result = std::any_of(
        backward_.saved[i].begin(), backward_.saved[i].end(),
        [&](TensorId t) { return std::find(outputs.begin(), outputs.end(), t) != outputs.end(); });
    return saves_result ? i + 1 : i;
  }
  return 0;
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
