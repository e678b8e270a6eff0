// Recursive halving (reduce_scatter) and doubling (all_gather): partners at distance n/2, n/4, ...
// exchange half of what is left, so log2 n steps move (n-1)/n S. As many bytes as a ring, far fewer
// steps; needs a power of two, and a network where distance costs nothing.
//
//   all_gather, reduce_scatter   log2 n a + (n-1)/n S/B;   all_reduce twice that
//
// Across nodes the first log2 r distances stay inside a node: (r-1)/r of the bytes do not leave it,
// and the rest goes over the ranks' own NICs.
//
// Source: Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations in
// MPICH", IJHPCA 19 (2005).

#include <bit>
#include <cmath>

#include "hardware/collectives/algorithm.hpp"

namespace rehearse {

std::optional<Cost> recursive_cost(const Problem& p) {
  const bool both = p.op == CollectiveOp::kAllReduce;
  if (!both && p.op != CollectiveOp::kAllGather && p.op != CollectiveOp::kReduceScatter) {
    return std::nullopt;
  }
  if (p.ranks != p.nodes * p.ranks_per_node ||
      !std::has_single_bit(static_cast<unsigned>(p.ranks)) ||
      !std::has_single_bit(static_cast<unsigned>(p.ranks_per_node))) {
    return std::nullopt;
  }
  const double times = both ? 2 : 1;
  const double inside = (p.r() - 1) / p.r();
  const double outside = (p.k() - 1) / p.k() / p.r();
  const Seconds latency = p.intra.latency * std::log2(p.r()) + p.inter.latency * std::log2(p.k());
  Seconds bandwidth = Seconds(inside * p.bytes / p.intra.bandwidth.value);
  if (!p.one_node()) bandwidth += Seconds(outside * p.bytes / p.inter.bandwidth.value);
  return Cost{times * latency,
              times * bandwidth,
              {times * inside * p.bytes, p.one_node() ? 0 : times * outside * p.bytes}};
}

}  // namespace rehearse
