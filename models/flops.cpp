#include <algorithm>
#include <stdexcept>

#include "models/fine_tuning.hpp"
#include "models/op_graph.hpp"

namespace rehearse {

namespace {

double extent(const Tensor& t, Axis axis) {
  for (const Dim& dim : t.dims) {
    if (dim.axis == axis) return static_cast<double>(dim.size);
  }
  throw std::logic_error("tensor '" + t.name + "' lacks an axis that its operator needs");
}

// m x k times k x n: n and k are the weight's, m every token that comes in.
double linear_flops(const OpGraph& graph, const Op& op) {
  const Tensor& weight = graph.tensor(op.parameters.at(0));
  const double in = static_cast<double>(weight.dims.back().size);
  return 2.0 * static_cast<double>(graph.tensor(op.outputs.at(0)).elements()) * in;
}

// Queries against keys, and probabilities against values: 2 b a s s_k d each. Keys may be longer
// than queries where the sequence is sharded and keys gathered, or kept in
// a cache.
double attention_flops(const OpGraph& graph, const Op& op) {
  const Tensor& q = graph.tensor(op.inputs.at(0));
  const Tensor& k = graph.tensor(op.inputs.at(1));
  const Tensor& v = graph.tensor(op.inputs.at(2));
  const double columns = extent(q, Axis::kHeadSize) + extent(v, Axis::kHeadSize);
  const bool cached = std::any_of(k.dims.begin(), k.dims.end(),
                                  [](const Dim& d) { return d.axis == Axis::kKeySequence; });
  const double keys = extent(k, cached ? Axis::kKeySequence : Axis::kSequence);
  return 2.0 * static_cast<double>(q.elements()) / extent(q, Axis::kHeadSize) * columns * keys *
         op.ring;
}

}  // namespace

Flops forward_flops(const OpGraph& graph, const Op& op, bool causal) {
  switch (op.kind) {
    case OpKind::kLinear:
    case OpKind::kGroupedLinear:
    case OpKind::kHeadLinear:
      return Flops(linear_flops(graph, op));
    case OpKind::kAttention:
      return Flops(attention_flops(graph, op) * (causal ? 0.5 : 1.0));
    // Unfused products write the whole square, masked or not.
    case OpKind::kScores:
      return Flops(2.0 * static_cast<double>(graph.tensor(op.outputs.at(0)).elements()) *
                   extent(graph.tensor(op.inputs.at(0)), Axis::kHeadSize));
    case OpKind::kContext:
      return Flops(2.0 * static_cast<double>(graph.tensor(op.inputs.at(0)).elements()) *
                   extent(graph.tensor(op.inputs.at(1)), Axis::kHeadSize));
    case OpKind::kEmbedding:
    case OpKind::kPositionEmbedding:
    case OpKind::kLayerNorm:
    case OpKind::kRmsNorm:
    case OpKind::kRotary:
    case OpKind::kSoftmax:
    case OpKind::kRepeatHeads:
    case OpKind::kSafeSoftmax:
    case OpKind::kDropout:
    case OpKind::kGelu:
    case OpKind::kSwiGlu:
    case OpKind::kAdd:
    case OpKind::kCast:
    case OpKind::kCrossEntropy:
    case OpKind::kGather:
    case OpKind::kScatter:
    case OpKind::kSequenceToHeads:
    case OpKind::kHeadsToSequence:
    case OpKind::kGatherKeys:
    case OpKind::kRoute:
    case OpKind::kPermute:
    case OpKind::kCounts:
    case OpKind::kDispatch:
    case OpKind::kReturn:
    case OpKind::kGatherTokens:
    case OpKind::kScatterTokens:
    case OpKind::kArrange:
    case OpKind::kJoin:
    case OpKind::kCombine:
    case OpKind::kScale:
    case OpKind::kReorder:
    case OpKind::kConcatenate:
    case OpKind::kCacheUpdate:
    case OpKind::kArgMax:
      return Flops(0);
  }
  throw std::logic_error("forward_flops: unknown kind of operator");
}

Flops model_flops_per_token(const Model& model, std::int64_t sequence, bool causal,
                            const FineTuning& fine_tuning) {
  const BackwardShare share = backward_share(model, fine_tuning);
  const double weights = 2.0 * static_cast<double>(share.forward + share.inputs + share.parameters);
  // Queries against keys and probabilities against values, forward; twice as much backward.
  const double products = 4.0 * static_cast<double>(model.layers + 2 * share.layers);
  const double attention =
      products * static_cast<double>(model.heads * (model.head_size + model.value_size())) / 2 *
      static_cast<double>(sequence);
  return Flops(weights + (causal ? 0.5 : 1.0) * attention);
}

}  // namespace rehearse
