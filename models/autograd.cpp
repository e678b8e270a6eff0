#include "models/autograd.hpp"

#include "models/dependency_graph.hpp"

namespace rehearse {

namespace {

bool inputs_need_gradient(const OpGraph& graph, const Op& op) {
  for (TensorId t : op.inputs) {
    if (is_floating(graph.tensor(t).dtype)) return true;
  }
  return false;
}

// What the operator keeps, as PyTorch's derivatives say (tools/autograd/derivatives.yaml).
std::vector<TensorId> kept(const Op& op) {
  std::vector<TensorId> keeps;
  const auto add_inputs = [&] { keeps.insert(keeps.end(), op.inputs.begin(), op.inputs.end()); };
  const auto add_statistics = [&] {
    keeps.insert(keeps.end(), op.outputs.begin() + 1, op.outputs.end());
  };
  switch (op.kind) {
    case OpKind::kEmbedding:
    case OpKind::kLinear:
    case OpKind::kGroupedLinear:
    case OpKind::kHeadLinear:
    case OpKind::kScores:
    case OpKind::kContext:
    case OpKind::kGelu:
      add_inputs();
      break;
    case OpKind::kLayerNorm:
    case OpKind::kRmsNorm:
      add_inputs();
      add_statistics();
      break;
    case OpKind::kSwiGlu:  // silu keeps the gate, the product keeps silu(gate) and up
      add_inputs();
      add_statistics();
      break;
    case OpKind::kAttention:
      add_inputs();
      keeps.insert(keeps.end(), op.outputs.begin(), op.outputs.end());
      break;
    case OpKind::kSoftmax:
    case OpKind::kSafeSoftmax:
      keeps.push_back(op.outputs.at(0));
      break;
    case OpKind::kDropout:
    case OpKind::kRoute:  // the inputs are of no use to softmax, top-k and the division
    case OpKind::kPermute:
      add_statistics();
      break;
    case OpKind::kCombine:
      if (op.inputs.size() > 1) keeps.push_back(op.inputs.at(0));  // for the gradient of weights
      add_statistics();
      break;
    case OpKind::kCrossEntropy:  // log_softmax keeps its result, the likelihood its targets
      keeps.push_back(op.inputs.at(1));
      add_statistics();
      break;
    case OpKind::kPositionEmbedding:
    case OpKind::kRotary:
    case OpKind::kRepeatHeads:
    case OpKind::kAdd:
    case OpKind::kCast:
    case OpKind::kGather:
    case OpKind::kScatter:
    case OpKind::kSequenceToHeads:
    case OpKind::kHeadsToSequence:
    case OpKind::kGatherKeys:
    case OpKind::kConcatenate:
    case OpKind::kScale:
    case OpKind::kCounts:
    case OpKind::kDispatch:
    case OpKind::kReturn:
    case OpKind::kGatherTokens:
    case OpKind::kScatterTokens:
    case OpKind::kArrange:
    case OpKind::kJoin:
    case OpKind::kCacheUpdate:
    case OpKind::kArgMax:
      break;
  }
  return keeps;
}

void add_gradients(const OpGraph& graph, OpId id, const std::vector<TensorId>& keeps,
                   std::vector<GradOp>& out) {
  const Op& op = graph.ops[static_cast<std::size_t>(id)];
  const bool inputs = inputs_need_gradient(graph, op);
  const bool parameters = !op.parameters.empty();
  if (!inputs && !parameters) return;
  if (is_product(op.kind)) {
    // Two matrix products. PyTorch issues the weight's first, and each reads what the other is of.
    out.push_back({id, GradKind::kParameters, keeps});
    if (inputs) out.push_back({id, GradKind::kInputs, {op.parameters.at(0)}});
    return;
  }
  std::vector<TensorId> reads = keeps;
  if (op.kind == OpKind::kLayerNorm || op.kind == OpKind::kRmsNorm) {
    reads.push_back(op.parameters.at(0));
  }
  const GradKind kind = !parameters ? GradKind::kInputs
                        : !inputs   ? GradKind::kParameters
                                    : GradKind::kBoth;
  out.push_back({id, kind, std::move(reads)});
}

}  // namespace

BackwardGraph derive_backward(const OpGraph& graph) {
  BackwardGraph backward;
  backward.saved.reserve(graph.ops.size());
  for (const Op& op : graph.ops) backward.saved.push_back(kept(op));
  for (OpId id : DependencyGraph(graph).backward_order()) {
    add_gradients(graph, id, backward.saved[static_cast<std::size_t>(id)], backward.ops);
  }
  return backward;
}

}  // namespace rehearse
