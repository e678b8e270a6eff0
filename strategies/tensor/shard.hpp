#pragma once

#include "models/op_graph.hpp"

namespace rehearse {

// How the graphs of one model are cut over the ranks of a tensor-parallel group (Megatron: Shoeybi
// et al. 2019, Korthikanti et al. 2022) and over a context-parallel group.
struct TensorSharding {
  int ranks = 1;                     // t
  bool sequence_parallel = false;    // activations between the products are cut along the sequence
  bool vocabulary_parallel = false;  // embedding, head and loss are cut along the vocabulary
};

// The graphs of one rank: dimensions divided by what they mean (heads, intermediate, vocabulary;
// the sequence between products), and kGather and kScatter operators where the ranks meet:
//   gather   before qkv and up (and a cut or sequence-parallel head): forward all-gathers the
//            sequence, backward reduce-scatters it; without sequence parallelism forward does
//            nothing and backward all-reduces.
//   scatter  after proj and down (and a cut embedding): forward reduce-scatters or all-reduces,
//            backward all-gathers or does nothing.
// A key-value head that cannot be divided is replicated. Precondition: heads, intermediate (and the
// vocabulary, padded up) divide; see check_plan.
ModelGraphs shard(const ModelGraphs& graphs, const TensorSharding& how);

}  // namespace rehearse
