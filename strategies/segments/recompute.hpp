#pragma once

#include "models/op_graph.hpp"
#include "sim/config/scenario.hpp"

namespace rehearse {

// Of an operator of a layer, the part that backward computes again (of a product: of its outputs),
// 0 to 1. `full` computes all again; `selective` the core of attention (Korthikanti et al. 2022).
//
// `operators` is the policy of torchtitan on PyTorch's selective checkpointing: the results of
// attention, of reduce-scatters and of every other matrix product are saved, the first, third, ...
// in the order in which a layer runs them; the rest runs again. Products that are one here
// (queries, keys and values; gate and up) count as the separate ones that they are there.
double recomputed_share(Recompute recompute, const OpGraph& graph, const Op& op);

}  // namespace rehearse
