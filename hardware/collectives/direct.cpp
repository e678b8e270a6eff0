// Direct: ranks exchange without going through others.
//
//   all_to_all   n-1 pairwise exchanges of S/n, full duplex: (n-1) a + (n-1)/n S/B
//   send_recv    every rank sends S to the next: a + S/B, over the slowest hop of the group
//
// Across nodes r-1 partners of an all_to_all are inside and n-r outside; NVLink and NICs work at
// the same time, so the slower of the two tiers counts. A library has several exchanges under way
// and waits for their latency once. On a torus a message crosses several links, and the links'
// total load grows by that factor.

#include <cmath>

#include "hardware/collectives/algorithm.hpp"

namespace rehearse {
namespace {

Cost all_to_all(const Problem& p) {
  const double part = p.bytes / p.n();
  const Seconds inside =
      p.ranks_per_node > 1 ? Seconds((p.r() - 1) * part / p.intra.bandwidth.value) : Seconds(0);
  const auto rounds = [&](double partners) { return std::ceil(partners / p.exchanges_at_once); };
  const Seconds latency =
      p.intra.latency * rounds(p.r() - 1) + p.inter.latency * rounds(p.n() - p.r());
  if (p.one_node()) return {latency, inside};
  const Seconds outside = Seconds((p.n() - p.r()) * part * p.hops / p.inter.bandwidth.value);
  return {latency, max(inside, outside)};
}

Cost send_recv(const Problem& p) {
  if (p.one_node()) return {p.intra.latency, Seconds(p.bytes / p.intra.bandwidth.value)};
  const Cost outside{p.inter.latency, Seconds(p.bytes / p.inter_alone.value)};
  if (p.ranks_per_node == 1) return outside;
  const Cost inside{p.intra.latency, Seconds(p.bytes / p.intra.bandwidth.value)};
  return inside.total() > outside.total() ? inside : outside;
}

}  // namespace

std::optional<Cost> direct_cost(const Problem& p) {
  if (p.op == CollectiveOp::kAllToAll) return all_to_all(p);
  if (p.op == CollectiveOp::kSendRecv) return send_recv(p);
  return std::nullopt;
}

}  // namespace rehearse
