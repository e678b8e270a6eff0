// Hierarchical, rail-aligned: k nodes of r ranks. The ranks of a node share the buffer out among
// them, equal ranks of all nodes (a rail) work on one part, each over its own NIC share, and the
// ranks of a node put the parts together. Phases do not overlap.
//
//   reduce_scatter   inside S, then between S/r; all_gather the same backwards:
//                    (r-1) a_in + (k-1) a_out + (r-1)/r S/B_in + (k-1)/k S/(r B_nic)
//   all_reduce       twice that: reduce-scatter inside, all-reduce between, all-gather inside
//   broadcast        a scatter inside the root's node, chains on the rails, all-gathers inside:
//                    2 (r-1)/r S/B_in + S/(r B_nic), the chains pipelined
//
// On one node there is nothing to divide, and uneven nodes have no rails: the algorithm does not
// apply.
//
// Source: Cho et al., "BlueConnect: decomposing all-reduce for deep learning on heterogeneous
// network hierarchy", MLSys 2019.

#include "hardware/collectives/algorithm.hpp"

namespace rehearse {

std::optional<Cost> hierarchical_cost(const Problem& p) {
  if (p.one_node() || !p.even()) return std::nullopt;
  const Seconds inside = p.ranks_per_node > 1
                             ? Seconds((p.r() - 1) / p.r() * p.bytes / p.intra.bandwidth.value)
                             : Seconds(0);
  const Seconds between =
      Seconds((p.k() - 1) / p.k() * p.bytes / (p.r() * p.inter.bandwidth.value));
  const Seconds latency = p.intra.latency * (p.r() - 1) + p.inter.latency * (p.k() - 1);
  const SentBytes once{(p.r() - 1) / p.r() * p.bytes, (p.k() - 1) / p.k() * p.bytes / p.r()};
  switch (p.op) {
    case CollectiveOp::kAllGather:
    case CollectiveOp::kReduceScatter:
      return Cost{latency, inside + between, once};
    case CollectiveOp::kAllReduce:
      return Cost{2 * latency, 2 * (inside + between), {2 * once.inside, 2 * once.outside}};
    case CollectiveOp::kBroadcast: {
      const Cost rails = pipelined_chain(p.k() - 1, p.bytes / p.r(), p.inter, p.chunks);
      return Cost{2 * (p.r() - 1) * p.intra.latency + rails.latency,
                  2 * inside + rails.bandwidth,
                  {2 * once.inside, p.bytes / p.r()}};
    }
    case CollectiveOp::kAllToAll:
    case CollectiveOp::kSendRecv:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace rehearse
