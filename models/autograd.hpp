#pragma once

#include <vector>

#include "models/op_graph.hpp"

namespace rehearse {

// One step of backward: the gradient of one forward operator with respect to its inputs (dgrad) or
// its parameters (wgrad), or both where PyTorch computes them in one go (norms, attention).
enum class GradKind : std::uint8_t { kInputs, kParameters, kBoth };

struct GradOp {
  OpId forward = 0;  // index into the forward graph's ops
  GradKind kind = GradKind::kBoth;
  std::vector<TensorId> reads_saved;  // forward tensors it reads (saved, or parameters)
};

struct BackwardGraph {
  std::vector<GradOp>
      ops;  // in execution order: reverse of forward, wgrad of a linear before dgrad
  // saved[op]: forward tensors that op keeps for its backward, as PyTorch's autograd does (inputs
  // of a linear whose weight needs a gradient, both factors of a product, q, k, v, o and
  // log-sum-exp of attention, log-probabilities of the loss, masks); without parameters.
  std::vector<std::vector<TensorId>> saved;
};

// The gradient of every operator that the graph's output depends on, but for inputs that cannot
// have one (token ids, targets, masks).
BackwardGraph derive_backward(const OpGraph& graph);

}  // namespace rehearse
