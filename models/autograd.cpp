#include "models/autograd.hpp"

#include "models/dependency_graph.hpp"

namespace rehearse {

namespace {

// A tensor's own gradient, or that of what it is a view of.
bool is_wanted(const OpGraph& graph, const std::vector<bool>& wanted, TensorId t) {
  for (; t != kNoTensor; t = graph.tensor(t).view_of) {
    if (wanted[static_cast<std::size_t>(t)]) return true;
  }
  return false;
}

bool any_input_wanted(const OpGraph& graph, const std::vector<bool>& wanted, const Op& op) {
  for (TensorId t : op.inputs) {
    if (is_wanted(graph, wanted, t)) return true;
  }
  return false;
}

// What requires a gradient: the input, if it does, and what operators make of that or of parameters
// that train.
std::vector<bool> wanted_tensors(const OpGraph& graph, bool input_gradient) {
  std::vector<bool> wanted(graph.tensors.size(), false);
  wanted[static_cast<std::size_t>(graph.input)] =
      input_gradient && is_floating(graph.tensor(graph.input).dtype);
  for (const Op& op : graph.ops) {
    if (!trains(graph, op) && !any_input_wanted(graph, wanted, op)) continue;
    for (TensorId t : op.outputs) {
      wanted[static_cast<std::size_t>(t)] = is_floating(graph.tensor(t).dtype);
    }
  }
  for (std::size_t t = 0; t < wanted.size(); ++t) {
    if (is_wanted(graph, wanted, static_cast<TensorId>(t))) wanted[t] = true;
  }
  return wanted;
}

// What the operator keeps, as PyTorch's derivatives say (tools/autograd/derivatives.yaml).
// NOLINTNEXTLINE(readability-function-size): a case for every kind
std::vector<TensorId> kept(const OpGraph& graph, const std::vector<bool>& wanted, const Op& op) {
  std::vector<TensorId> keeps;
  const auto add_inputs = [&] { keeps.insert(keeps.end(), op.inputs.begin(), op.inputs.end()); };
  const auto add_statistics = [&] {
    keeps.insert(keeps.end(), op.outputs.begin() + 1, op.outputs.end());
  };
  switch (op.kind) {
    case OpKind::kEmbedding:
    case OpKind::kLinear:
    case OpKind::kHeadLinear:
    case OpKind::kGroupedLinear:  // the gradient of the inputs reads the weights alone
      if (trains(graph, op)) add_inputs();
      break;
    case OpKind::kScores:
    case OpKind::kContext:  // each factor for the other's gradient
      for (std::size_t i : {0U, 1U}) {
        if (is_wanted(graph, wanted, op.inputs.at(1 - i))) keeps.push_back(op.inputs.at(i));
      }
      break;
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
      if (op.outputs.size() == 1) keeps.push_back(op.inputs.at(0));  // a fused one, its logits
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
    case OpKind::kReorder:
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

void add_gradients(const OpGraph& graph, OpId id, BackwardGraph& out) {
  const Op& op = graph.ops[static_cast<std::size_t>(id)];
  const std::vector<TensorId>& keeps = out.saved[static_cast<std::size_t>(id)];
  const bool inputs = any_input_wanted(graph, out.wanted, op);
  const bool parameters = trains(graph, op);
  if (is_product(op.kind)) {
    // Two matrix products; each reads what the other is of. PyTorch's derivatives are in the order
    // of its operands' names: mat2 (the weight), self (the input) of mm; mat1 (the input), mat2
    // (the weight), self (the bias) of addmm, which a bias makes it.
    const bool biased = op.parameters.size() > 1;
    const GradOp of_inputs{id, GradKind::kInputs, {op.parameters.at(0)}};
    if (inputs && biased) out.ops.push_back(of_inputs);
    if (parameters) out.ops.push_back({id, GradKind::kParameters, keeps});
    if (inputs && !biased) out.ops.push_back(of_inputs);
    return;
  }
  std::vector<TensorId> reads = keeps;
  if (op.kind == OpKind::kLayerNorm || op.kind == OpKind::kRmsNorm) {
    reads.push_back(op.parameters.at(0));
  }
  const GradKind kind = !parameters ? GradKind::kInputs
                        : !inputs   ? GradKind::kParameters
                                    : GradKind::kBoth;
  out.ops.push_back({id, kind, std::move(reads)});
}

}  // namespace

BackwardGraph derive_backward(const OpGraph& graph, bool input_gradient) {
  BackwardGraph backward;
  backward.wanted = wanted_tensors(graph, input_gradient);
  backward.saved.reserve(graph.ops.size());
  for (const Op& op : graph.ops) {
    const bool runs = trains(graph, op) || any_input_wanted(graph, backward.wanted, op);
    backward.runs.push_back(runs);
    backward.saved.push_back(runs ? kept(graph, backward.wanted, op) : std::vector<TensorId>{});
  }
  for (OpId id : DependencyGraph(graph).backward_order()) {
    if (backward.runs[static_cast<std::size_t>(id)]) add_gradients(graph, id, backward);
  }
  return backward;
}

}  // namespace rehearse
