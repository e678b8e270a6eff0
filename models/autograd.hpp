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
      ops;  // in execution order: reverse of forward, wgrad of a linear without bias before dgrad
  // saved[op]: forward tensors that op keeps for its backward, as PyTorch's autograd does (inputs
  // of a linear whose weight trains, both factors of a product, q, k, v, o and
  // log-sum-exp of attention, log-probabilities of the loss, masks); without parameters. Nothing
  // where backward does not come: a linear with a frozen weight keeps no input, and below the first
  // parameter that trains nothing is kept at all.
  std::vector<std::vector<TensorId>> saved;
  std::vector<bool> wanted;  // by tensor, of activations and inputs: whether it has a gradient
  std::vector<bool> runs;    // by operator: whether it has any of `ops`
};

// The gradient of every operator that the graph's output depends on and that a parameter which
// trains, or the graph's input, leads to. `input_gradient`: the input has a gradient, as something
// before it trains; token ids, targets and masks have none in any case.
BackwardGraph derive_backward(const OpGraph& graph, bool input_gradient = true);

}  // namespace rehearse
