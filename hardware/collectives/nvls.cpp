// In-network reduction inside one NVSwitch domain (NVLink SHARP): every rank sends its buffer to
// the switch once and receives the sum once, whatever n is:  2 a + S/B  (one hop to the switch and
// one back). Only where the cluster says `nvls: true`.
//
// Across nodes (NCCL's NVLSTree) the switch leaves each of the r ranks of a node 1/r of the sum, a
// double binary tree between the nodes reduces it on that rank's NIC and sends it back, and the
// switch spreads it:  4 a_in + 2 ceil(log2 k) a_out + max(S/B, 2 S/(r B_nic)), all pipelined.
//
// Source: NVIDIA, "NVLink SHARP" in NCCL 2.17's and 2.18's release notes; Graham et al., "Scalable
// hierarchical aggregation protocol (SHArP)", COMHPC 2016.

#include <cmath>

#include "hardware/collectives/algorithm.hpp"

namespace rehearse {

std::optional<Cost> nvls_cost(const Problem& p) {
  if (!p.nvls || p.op != CollectiveOp::kAllReduce) return std::nullopt;
  const Seconds inside(p.bytes / p.nvls_bandwidth.value);
  if (p.one_node()) return Cost{2 * p.intra.latency, inside, {p.bytes, 0}};
  if (p.ranks_per_node < 3 || !p.even()) return std::nullopt;
  const Seconds between(p.tree_bytes() * p.bytes / p.crossing.value);
  return Cost{4 * p.intra.latency + 2 * std::ceil(std::log2(p.k())) * p.inter.latency,
              max(inside, between),
              {p.bytes, p.tree_bytes() * p.bytes / p.r()}};
}

}  // namespace rehearse
