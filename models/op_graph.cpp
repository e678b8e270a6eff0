#include "models/op_graph.hpp"

namespace rehearse {

std::int64_t Tensor::elements() const {
  std::int64_t n = 1;
  for (const Dim& dim : dims) n *= dim.size;
  return n;
}

std::int64_t OpGraph::parameter_count() const {
  std::int64_t n = 0;
  for (const Tensor& t : tensors) {
    if (t.kind == TensorKind::kParameter) n += t.elements();
  }
  return n;
}

bool trains(const OpGraph& graph, const Op& op) {
  for (TensorId p : op.parameters) {
    if (graph.tensor(p).trainable) return true;
  }
  return false;
}

// NOLINTNEXTLINE(readability-function-size): a case for every kind
std::string_view to_string(OpKind kind) {
  switch (kind) {
    case OpKind::kEmbedding:
      return "embedding";
    case OpKind::kPositionEmbedding:
      return "position_embedding";
    case OpKind::kLayerNorm:
      return "layer_norm";
    case OpKind::kRmsNorm:
      return "rms_norm";
    case OpKind::kLinear:
      return "linear";
    case OpKind::kRotary:
      return "rotary";
    case OpKind::kAttention:
      return "attention";
    case OpKind::kScores:
      return "scores";
    case OpKind::kSoftmax:
      return "softmax";
    case OpKind::kContext:
      return "context";
    case OpKind::kRepeatHeads:
      return "repeat_heads";
    case OpKind::kSafeSoftmax:
      return "safe_softmax";
    case OpKind::kDropout:
      return "dropout";
    case OpKind::kGelu:
      return "gelu";
    case OpKind::kSwiGlu:
      return "swiglu";
    case OpKind::kAdd:
      return "add";
    case OpKind::kCast:
      return "cast";
    case OpKind::kCrossEntropy:
      return "cross_entropy";
    case OpKind::kGather:
      return "gather";
    case OpKind::kScatter:
      return "scatter";
    case OpKind::kSequenceToHeads:
      return "sequence_to_heads";
    case OpKind::kHeadsToSequence:
      return "heads_to_sequence";
    case OpKind::kGatherKeys:
      return "gather_keys";
    case OpKind::kHeadLinear:
      return "head_linear";
    case OpKind::kConcatenate:
      return "concatenate";
    case OpKind::kScale:
      return "scale";
    case OpKind::kReorder:
      return "reorder";
    case OpKind::kRoute:
      return "route";
    case OpKind::kPermute:
      return "permute";
    case OpKind::kCounts:
      return "counts";
    case OpKind::kDispatch:
      return "dispatch";
    case OpKind::kReturn:
      return "return";
    case OpKind::kGatherTokens:
      return "gather_tokens";
    case OpKind::kScatterTokens:
      return "scatter_tokens";
    case OpKind::kArrange:
      return "arrange";
    case OpKind::kGroupedLinear:
      return "grouped_linear";
    case OpKind::kJoin:
      return "join";
    case OpKind::kCombine:
      return "combine";
    case OpKind::kCacheUpdate:
      return "cache_update";
    case OpKind::kArgMax:
      return "argmax";
  }
  return "unknown";
}

}  // namespace rehearse
