// Ring. Every rank sends to its right neighbour and receives from its left one.
//
//   reduce_scatter, all_gather   n-1 steps of S/n:        (n-1) a + (n-1)/n S/B
//   all_reduce                   one after the other:   2 (n-1) a + 2(n-1)/n S/B
//   broadcast                    a chain of n-1 hops; in s pieces (s+n-2)(a + S/(sB)), s = 1 naive,
//                                best at s* = sqrt((n-2) S/(aB)), S/B in the limit a = 0
//
// Across nodes a ring crosses every node's boundary once, so k of its n hops are between nodes. The
// slowest hop sets the pace: B is the lesser of the two tiers', at the emptiest node. The crossing
// of a single ring has one NIC; that of NCCL, which opens a ring for every NIC of the group and
// gives each its part of the buffer, all of them. Latency counts the steps of one message around
// the ring, of which (k-1)/(n-1) are between nodes (of a measured network, see
// Problem::ring_crossings, k).
//
// Source: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of
// workstations", JPDC 69 (2009).

#include <algorithm>
#include <cmath>

#include "hardware/collectives/algorithm.hpp"

namespace rehearse {
namespace {

Cost chain_in_pieces(double steps, double bytes, const Hop& hop, double pieces) {
  const double rounds = pieces + steps - 1;
  return {hop.latency * rounds, Seconds(bytes / hop.bandwidth.value) * (rounds / pieces), {}};
}

}  // namespace

// All ranks of a node but one have their next in the node. Where every NIC has a ring of its own,
// each rank is that one for a part of the buffer; else one rank is for all of it, and as the others
// wait for it, every rank is taken to be.
SentBytes to_neighbours(const Problem& p, double bytes) {
  if (p.one_node()) return {bytes, 0};
  if (p.ranks_per_node == 1) return {0, bytes};
  if (!p.ring_per_nic) return {bytes, bytes};
  return {bytes * (p.r() - 1) / p.r(), bytes / p.r()};
}

Cost pipelined_chain(double steps, double bytes, const Hop& hop, std::int64_t chunks) {
  if (chunks > 0) return chain_in_pieces(steps, bytes, hop, static_cast<double>(chunks));
  const double seconds = bytes / hop.bandwidth.value;
  if (hop.latency.value <= 0) return {Seconds(0), Seconds(seconds), {}};  // endlessly many pieces
  const double best = std::sqrt((steps - 1) * seconds / hop.latency.value);
  const Cost below = chain_in_pieces(steps, bytes, hop, std::max(1.0, std::floor(best)));
  const Cost above = chain_in_pieces(steps, bytes, hop, std::max(1.0, std::ceil(best)));
  return above.total() < below.total() ? above : below;
}

std::optional<Cost> ring_cost(const Problem& p) {
  const Hop slowest{p.one_node() ? p.intra.latency : max(p.intra.latency, p.inter.latency),
                    p.ring_bandwidth()};
  const double crossings = p.ring_crossings();
  const Seconds once_around =
      p.intra.latency * (p.n() - 1 - crossings) + p.inter.latency * crossings;
  const Seconds share = Seconds((p.n() - 1) / p.n() * p.bytes / slowest.bandwidth.value);
  const SentBytes sent = to_neighbours(p, wire_bytes(p.op, p.bytes, p.ranks));
  switch (p.op) {
    case CollectiveOp::kAllGather:
    case CollectiveOp::kReduceScatter:
      return Cost{once_around, share, sent};
    case CollectiveOp::kAllReduce:
      return Cost{2 * once_around, 2 * share, sent};
    case CollectiveOp::kBroadcast: {
      const Cost chain = pipelined_chain(p.n() - 1, p.bytes, slowest, p.chunks);
      return Cost{chain.latency, chain.bandwidth, sent};
    }
    case CollectiveOp::kAllToAll:
    case CollectiveOp::kSendRecv:
      return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace rehearse
