// In-network reduction inside one NVSwitch domain (NVLink SHARP): every rank sends its buffer to
// the switch once and receives the sum once, whatever n is:  2 a + S/B  (one hop to the switch and
// one back). Only where the cluster says `nvls: true`.
//
// Source: NVIDIA, "NVLink SHARP" in NCCL 2.17's release notes; Graham et al., "Scalable
// hierarchical aggregation protocol (SHArP)", COMHPC 2016.

#include "hardware/collectives/algorithm.hpp"

namespace rehearse {

std::optional<Cost> nvls_cost(const Problem& p) {
  if (!p.nvls || !p.one_node() || p.op != CollectiveOp::kAllReduce) return std::nullopt;
  return Cost{2 * p.intra.latency, Seconds(p.bytes / p.nvls_bandwidth.value)};
}

}  // namespace rehearse
