#include "strategies/segments/fusion.hpp"

#include <algorithm>

namespace rehearse {
namespace {

bool reads_from(const Op& op, const Op& before) {
  return std::any_of(op.inputs.begin(), op.inputs.end(), [&](TensorId t) {
    return std::find(before.outputs.begin(), before.outputs.end(), t) != before.outputs.end();
  });
}

TensorId root_of(const OpGraph& g, TensorId t) {
  while (g.tensor(t).view_of != kNoTensor) t = g.tensor(t).view_of;
  return t;
}

std::set<TensorId> stays_inside(const OpGraph& g, const FusedRun& run,
                                const std::set<TensorId>& kept) {
  std::set<TensorId> out;
  for (std::size_t i = run.begin; i + 1 < run.end; ++i)
    for (TensorId t : g.ops[i].outputs)
      if (!kept.contains(t) && t != root_of(g, g.output)) out.insert(t);
  for (std::size_t i = 0; i < g.ops.size(); ++i) {
    if (i >= run.begin && i < run.end) continue;
    for (TensorId t : g.ops[i].inputs) out.erase(root_of(g, t));
  }
  return out;
}

}  // namespace

std::vector<FusedRun> fused_runs(const Runtime& runtime, const OpGraph& graph,
                                 const std::set<TensorId>& kept, std::size_t end) {
  std::vector<FusedRun> out;
  const auto fusible = [&](std::size_t i) {
    return runtime.fused_operators.contains(graph.ops[i].kind);
  };
  for (std::size_t i = 0; i < end;) {
    FusedRun run{i, i + 1, {}};
    while (fusible(i) && run.end < end && fusible(run.end) &&
           reads_from(graph.ops[run.end], graph.ops[run.end - 1]))
      ++run.end;
    i = run.end;
    if (run.end - run.begin < 2) continue;
    run.inside = stays_inside(graph, run, kept);
    out.push_back(std::move(run));
  }
  return out;
}

Kernel fused_kernel(const KernelContext& c, const OpGraph& g, const FusedRun& run) {
  MemoryWork w;
  std::string name = "fused";
  std::set<TensorId> made, read;
  Bytes element(1);
  for (std::size_t i = run.begin; i < run.end; ++i) {
    const Op& op = g.ops[i];
    name += "_" + std::string(to_string(op.kind));
    for (TensorId t : op.inputs)
      if (!made.contains(t) && read.insert(t).second) w.read += g.tensor(t).bytes();
    for (TensorId t : op.outputs) {
      made.insert(t);
      if (!run.inside.contains(t)) w.written += g.tensor(t).bytes();
    }
    element = size_of(g.tensor(op.outputs[0]).dtype);
    const auto& kernels = c.runtime.of(op.kind).forward.kernels;
    if (!kernels.empty() && (w.kernel_class.empty() || op.kind != OpKind::kCast))
      w.kernel_class = kernels.front().kernel_class;
  }
  w.elements = max(w.written, Bytes(w.read.value / 2)).value / element.value;
  return {w, c.names.intern(name)};
}

namespace {

// The loss without the cast of its logits and without probabilities.
void fuse_loss(OpGraph& graph) {
  const auto loss = std::find_if(graph.ops.begin(), graph.ops.end(),
                                 [](const Op& o) { return o.kind == OpKind::kCrossEntropy; });
  if (loss == graph.ops.end()) return;
  loss->outputs.resize(1);
  const TensorId logits = loss->inputs[0];
  const auto cast = std::find_if(graph.ops.begin(), graph.ops.end(), [&](const Op& o) {
    return o.kind == OpKind::kCast && o.outputs[0] == logits;
  });
  if (cast == graph.ops.end()) return;
  loss->inputs[0] = cast->inputs[0];
  graph.ops.erase(cast);
}

}  // namespace

OpGraph with_fused_tensors(OpGraph graph, const Runtime& runtime) {
  if (runtime.fused_loss) fuse_loss(graph);
  for (Op& op : graph.ops) {
    if (op.kind == OpKind::kSwiGlu && runtime.fused_activation) op.outputs.resize(1);
    if (op.kind == OpKind::kCrossEntropy && runtime.loss_in_place && !runtime.fused_loss)
      graph.tensors[static_cast<std::size_t>(op.outputs.at(1))].view_of = op.inputs[0];
  }
  return graph;
}

std::vector<OpId> regathers(const Runtime& runtime, const OpGraph& graph, const Op& op) {
  std::vector<OpId> out;
  const bool uses = is_product(op.kind) || op.kind == OpKind::kAttention;
  if (!runtime.regathers_sequence || !uses) return out;
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const Op& gather = graph.ops[i];
    const bool gathers = gather.kind == OpKind::kGather || gather.kind == OpKind::kGatherKeys;
    if (gathers && graph.tensor(gather.outputs[0]).view_of == kNoTensor && reads_from(op, gather))
      out.push_back(static_cast<OpId>(i));
  }
  return out;
}

BackwardGraph without_gathered(BackwardGraph backward, const OpGraph& graph,
                               const Runtime& runtime) {
  for (std::size_t i = 0; i < graph.ops.size(); ++i)
    for (OpId id : regathers(runtime, graph, graph.ops[i])) {
      const Op& gather = graph.ops[static_cast<std::size_t>(id)];
      std::replace(backward.saved[i].begin(), backward.saved[i].end(), gather.outputs[0],
                   gather.inputs[0]);
    }
  return backward;
}

}  // namespace rehearse
