// Direct: ranks exchange without going through others.
//
//   all_to_all   n-1 pairwise exchanges of S/n, full duplex: (n-1) a + (n-1)/n S/B
//   send_recv    every rank sends S to the next: a + S/B, over the slowest hop of the group
//
// Across nodes r-1 partners of an all_to_all are inside and n-r outside (of an uneven group the
// most of both); NVLink and NICs work at the same time, so the slower of the two tiers counts. A
// library has several exchanges under way and waits for their latency once. On a torus a message
// crosses several links, and the links' total load grows by that factor.

#include <cmath>

#include "hardware/collectives/algorithm.hpp"

namespace rehearse {
namespace {

Cost all_to_all(const Problem& p) {
  const double part = p.bytes / p.n();
  const double partners = p.n() - p.least_per_node;  // outside the emptiest node
  const SentBytes sent{(p.r() - 1) * part, partners * part * p.hops};
  const Seconds inside =
      p.ranks_per_node > 1 ? Seconds(sent.inside / p.intra.bandwidth.value) : Seconds(0);
  const auto rounds = [&](double of) { return std::ceil(of / p.exchanges_at_once); };
  const Seconds latency = p.intra.latency * rounds(p.r() - 1) + p.inter.latency * rounds(partners);
  if (p.one_node()) return {latency, inside, {sent.inside, 0}};
  const BytesPerSecond nic = p.crossing / static_cast<double>(p.least_per_node);
  return {latency, max(inside, Seconds(sent.outside / nic.value)), sent};
}

Cost send_recv(const Problem& p) {
  const Cost inside{p.intra.latency, Seconds(p.bytes / p.intra.bandwidth.value), {p.bytes, 0}};
  if (p.one_node()) return inside;
  const Cost outside{p.inter.latency, Seconds(p.bytes / p.inter_alone.value), {0, p.bytes}};
  if (p.ranks_per_node == 1 || inside.total() <= outside.total()) return outside;
  return inside;
}

}  // namespace

std::optional<Cost> direct_cost(const Problem& p) {
  if (p.op == CollectiveOp::kAllToAll) return all_to_all(p);
  if (p.op == CollectiveOp::kSendRecv) return send_recv(p);
  return std::nullopt;
}

}  // namespace rehearse
