#include "strategies/context/context_parallel.hpp"

namespace rehearse {

// Keys and values are gathered along the sequence before attention, and their gradients
// reduce-scattered (Llama 3, Dubey et al. 2024, 3.3.2): with few key-value heads they are small
// beside the queries, and any mask works.
OpGraph gathered_keys(OpGraph block, int ranks) {
  for (const std::size_t input : {std::size_t{1}, std::size_t{2}}) {
    const std::size_t at = find_operator(block, "attention");
    const TensorId t = block.ops[at].inputs[input];
    std::vector<Dim> dims = block.tensor(t).dims;
    scale_axis(dims, Axis::kSequence, ranks, 1);
    insert_before(block, at, OpKind::kGatherKeys, t, std::move(dims));
  }
  return block;
}

}  // namespace rehearse
