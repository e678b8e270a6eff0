#include "strategies/context/context_parallel.hpp"

namespace rehearse {

// Ring attention (Liu et al. 2023; Megatron's p2p context parallelism): shapes stay those of a
// part, and attention has P hops. While a hop is computed, the keys and values of the next arrive,
// so a hop takes the longer of the two. What the hops are is in strategies/segments/attention.hpp.
OpGraph ring_attention(OpGraph block, int ranks) {
  block.ops[find_operator(block, "attention")].ring = ranks;
  return block;
}

}  // namespace rehearse
