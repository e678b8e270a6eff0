#pragma once

#include <vector>

#include "strategies/segments/kernels.hpp"

namespace rehearse {

// The attention kernels of one rank, in launch order.
//
// - One, where queries and keys have the same length.
// - Gathered keys (a part of the queries against all keys): under a causal mask the sequence is cut
//   into 2P chunks and rank r has chunks r and 2P - 1 - r, so that all ranks have the same to do:
//   two kernels, each of a chunk against the keys up to it (Llama 3, Dubey et al. 2024, 3.3.2). In
//   all 2P c^2 = s^2 / (2P) query-key pairs with chunks of c = s / (2P): an even share.
// - A ring (Op::ring = P): one kernel a hop. With the same chunks, a causal mask leaves of a hop
//   either all queries against half of the keys, or half of the queries against all keys: as many
//   pairs as the first hop's own triangle (Liu et al. 2023; Brandon et al. 2023; Megatron's
//   context parallelism).
std::vector<AttentionWork> attention_works(const KernelContext& c, const OpGraph& g, const Op& op,
                                           AttentionDirection direction);

// Bytes that a rank of a ring sends while it computes each of its kernels. Forward: keys and values
// go on but after the last hop. Backward: they travel again, and their gradients follow one hop
// behind, as far.
std::vector<Bytes> ring_messages(const OpGraph& g, const Op& op, AttentionDirection direction);

}  // namespace rehearse
