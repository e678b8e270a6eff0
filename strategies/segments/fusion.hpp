#pragma once

#include <cstddef>
#include <set>
#include <vector>

#include "strategies/segments/kernels.hpp"

namespace rehearse {

// What a runtime fuses (Runtime::fused_operators and its other flags), as edits of graphs.

// A run of operators [begin, end) that is one kernel in forward: each reads what the one before
// makes. Tensors that nobody outside the run reads stay inside the kernel (`inside`, roots), unless
// they are kept.
struct FusedRun {
  std::size_t begin = 0, end = 0;
  std::set<TensorId> inside;
};

// Runs of two and more among the first `end` operators, in order.
std::vector<FusedRun> fused_runs(const Runtime& runtime, const OpGraph& graph,
                                 const std::set<TensorId>& kept, std::size_t end);

// It reads what comes from outside once, writes what leaves once, and runs as fast as the last of
// its operators that is no cast.
Kernel fused_kernel(const KernelContext& context, const OpGraph& graph, const FusedRun& run);

// The graph with the tensors that a runtime's fused activations and losses do not make.
OpGraph with_fused_tensors(OpGraph graph, const Runtime& runtime);

// The gathers (of a sequence) that make inputs of an operator and run again in its backward.
std::vector<OpId> regathers(const Runtime& runtime, const OpGraph& graph, const Op& op);

// What backward keeps when gathered tensors are not kept but gathered again.
BackwardGraph without_gathered(BackwardGraph backward, const OpGraph& graph,
                               const Runtime& runtime);

}  // namespace rehearse
