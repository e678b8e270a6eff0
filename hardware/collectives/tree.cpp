// Tree. D = ceil(log2 n) levels.
//
//   broadcast    in s pieces (s + D - 1)(a + S/(sB)); s = 1 is the naive D (a + S/B)
//   all_reduce   reduce up, broadcast down. Naive (chunks 1): 2 D (a + S/B). Otherwise a double
//                binary tree, pipelined: each of two trees takes half of the buffer, and a rank is
//                inside one and a leaf of the other, so it sends S/2 + S/2 up and 2 S/2 down:
//                2 D a + 2 S/B. A little more traffic than a ring, far fewer steps.
//
// Across nodes the tree runs between the nodes, ceil(log2 k) levels, and a chain of r-1 hops inside
// each joins its ranks to it (as NCCL does it): latency 2 ((r-1) a_in + ceil(log2 k) a_out).
//
// Source: Sanders, Speck and Träff, "Two-tree algorithms for full bandwidth broadcast, reduction
// and scan", Parallel Computing 35 (2009); NCCL 2.4's double binary trees.

#include <algorithm>
#include <cmath>

#include "hardware/collectives/algorithm.hpp"

namespace rehearse {

std::optional<Cost> tree_cost(const Problem& p) {
  if (p.op != CollectiveOp::kAllReduce && p.op != CollectiveOp::kBroadcast) return std::nullopt;
  double levels = std::ceil(std::log2(p.n()));
  Seconds depth = p.intra.latency * levels;
  if (!p.one_node()) {
    const double between = std::ceil(std::log2(p.k()));
    levels = p.r() - 1 + between;
    depth = p.intra.latency * (p.r() - 1) + p.inter.latency * between;
  }
  const Hop hop{depth / levels, p.ring_bandwidth()};
  if (p.op == CollectiveOp::kBroadcast) {
    const Cost chain = pipelined_chain(levels, p.bytes, hop, p.chunks);
    return Cost{chain.latency, chain.bandwidth, to_neighbours(p, p.bytes)};
  }
  const SentBytes sent = to_neighbours(p, 2 * p.bytes);
  const Seconds once = Seconds(p.bytes / hop.bandwidth.value);
  if (p.chunks > 0) {
    const Cost half = pipelined_chain(levels, p.bytes, hop, p.chunks);
    return Cost{2 * half.latency, 2 * half.bandwidth, sent};
  }
  if (p.tree_bytes() < 2) {
    const Seconds between(p.tree_bytes() * p.bytes / p.ring_crossing().value);
    const Seconds inside(2 * p.bytes / p.intra.bandwidth.value);
    return Cost{2 * depth, max(inside, between), sent};
  }
  return Cost{2 * depth, 2 * once, sent};
}

}  // namespace rehearse
