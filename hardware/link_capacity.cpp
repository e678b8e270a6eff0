#include "hardware/link_capacity.hpp"

#include <algorithm>
#include <cmath>

#include "hardware/collectives/tuning.hpp"
#include "hardware/topology.hpp"

namespace rehearse {
namespace {

bool pcie(const Cluster& c) { return c.intra_node.type == "pcie"; }

// Where NICs do not divide evenly among GPUs, a node's are one.
int gpus_per_nic(const Cluster& c) {
  if (c.nics_per_node <= 0) return 0;
  if (c.nics_per_node % c.gpus_per_node == 0) return 1;
  return c.gpus_per_node % c.nics_per_node == 0 ? c.gpus_per_node / c.nics_per_node
                                                : c.gpus_per_node;
}

BytesPerSecond port(const Cluster& c) {
  const CollectiveTuning& tuning = c.collectives;
  if (tuning.ideal || !tuning.table || std::isinf(c.intra_node.bandwidth.value))
    return c.intra_node.bandwidth;
  if (tuning.table->shared_efficiency > 0)
    return c.intra_node.bandwidth * tuning.table->shared_efficiency;
  BytesPerSecond best(0);
  for (std::size_t op = 0; op < kCollectiveOps; ++op)
    for (const MeasuredCurve& curve : tuning.table->curves[op])
      if (!curve.nvls) best = std::max(best, curve.regimes.back().bandwidth);
  if (!(best.value > 0)) return c.intra_node.bandwidth;
  return best * (c.intra_node.bandwidth.value / tuning.table->link.bandwidth.value);
}

BytesPerSecond nics(const Cluster& c) {
  const BytesPerSecond line =
      c.gpu_direct ? c.inter_node.bandwidth : min(c.inter_node.bandwidth, staged_bandwidth(c));
  const double number = static_cast<double>(c.nics_per_node) * gpus_per_nic(c) / c.gpus_per_node;
  const bool library = !c.collectives.ideal && c.collectives.table;
  return line * (number * (library ? c.collectives.inter_node_efficiency : 1));
}

}  // namespace

int gpus_per_link(const Cluster& c, LinkTier tier) {
  switch (tier) {
    case LinkTier::kPort:
      return 1;
    case LinkTier::kBridge:
      return pcie(c) && c.node_links.gpus_per_switch < c.gpus_per_node
                 ? c.node_links.gpus_per_switch
                 : 0;
    case LinkTier::kSocket:
      return pcie(c) && c.node_links.socket_bandwidth.value > 0 ? c.node_links.gpus_per_socket : 0;
    case LinkTier::kNic:
      return gpus_per_nic(c);
    case LinkTier::kFabric:
      return c.oversubscription > 1 ? gpus_per_nic(c) : 0;
  }
  return 0;
}

BytesPerSecond link_capacity(const Cluster& c, LinkTier tier) {
  switch (tier) {
    case LinkTier::kPort:
    case LinkTier::kBridge:
      return port(c);
    case LinkTier::kSocket:
      return c.node_links.socket_bandwidth;
    case LinkTier::kNic:
      return nics(c);
    case LinkTier::kFabric:
      return nics(c) / c.oversubscription;
  }
  return BytesPerSecond(0);
}

// Of a group that is below several switches, one member a switch sends over the bridge what the
// others send among themselves.
TierRates tier_rates(const Cluster& c, const CollectivePrice& price, const CommGroup& group) {
  TierRates out{};
  if (!(price.time.value > 0)) return out;
  const double inside = price.inside_bytes / price.time.value;
  const double outside = price.outside_bytes / price.time.value;
  const auto set = [&](LinkTier tier, double rate) { out[static_cast<std::size_t>(tier)] = rate; };
  set(LinkTier::kPort, pcie(c) ? inside + outside : inside);
  if (group.below_switch > 0) set(LinkTier::kBridge, inside / group.below_switch);
  if (group.below_socket > 0) set(LinkTier::kSocket, inside / group.below_socket);
  set(LinkTier::kNic, outside);
  if (!group.below_one_leaf) set(LinkTier::kFabric, outside);
  return out;
}

}  // namespace rehearse
