#include "strategies/segments/recompute.hpp"

#include <numeric>
#include <vector>

namespace rehearse {
namespace {

bool attention_core(const Op& op) {
  return op.kind == OpKind::kAttention || op.kind == OpKind::kScores ||
         op.kind == OpKind::kSoftmax || op.kind == OpKind::kContext || op.kind == OpKind::kScale ||
         op.kind == OpKind::kRepeatHeads || op.kind == OpKind::kSafeSoftmax ||
         op.name == "attention_dropout" || op.name == "context_cast";
}

// Outputs of the products that a fused one stands for.
std::vector<std::int64_t> parts_of(const OpGraph& g, const Op& op) {
  const Tensor& out = g.tensor(op.outputs[0]);
  if (out.dims.back().axis == Axis::kGateUp) {
    const std::int64_t half = out.dims.back().size / 2;
    return {half, half};
  }
  std::vector<std::int64_t> parts;
  for (const Tensor& t : g.tensors)
    if (t.view_of == op.outputs[0] && t.elements() < out.elements()) parts.push_back(t.elements());
  if (parts.empty()) parts.push_back(out.elements());
  return parts;
}

// Every second product runs again.
double product_share(const OpGraph& g, const Op& op) {
  int count = 0;
  for (const Op& before : g.ops) {
    if (!is_product(before.kind)) continue;
    const std::vector<std::int64_t> parts = parts_of(g, before);
    double again = 0;
    for (std::int64_t part : parts)
      if (++count % 2 == 0) again += static_cast<double>(part);
    if (&before == &op)
      return again /
             static_cast<double>(std::accumulate(parts.begin(), parts.end(), std::int64_t{0}));
  }
  return 0;
}

}  // namespace

double recomputed_share(Recompute recompute, const OpGraph& graph, const Op& op) {
  switch (recompute) {
    case Recompute::kNone:
    case Recompute::kAlternate:  // a layer is recomputed in full or not at all
      return 0;
    case Recompute::kFull:
      return 1;
    case Recompute::kSelective:
      return attention_core(op) ? 1 : 0;
    case Recompute::kOperators:
      if (is_product(op.kind)) return product_share(graph, op);
      if (op.kind == OpKind::kRepeatHeads) return 1;
      return attention_core(op) || op.kind == OpKind::kScatter ? 0 : 1;
  }
  return 0;
}

}  // namespace rehearse
