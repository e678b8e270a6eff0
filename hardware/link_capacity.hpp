#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "hardware/cluster.hpp"

namespace rehearse {

// What transfers of a node take their bytes over, where those of several kinds may meet. All have
// two directions.
enum class LinkTier : std::uint8_t {
  kPort,    // of one GPU into its node: NVLink, PCIe
  kBridge,  // of the GPUs below one PCIe switch, to the others
  kSocket,  // of the GPUs of one socket, to the other
  kNic,     // of the GPUs that have it in common
  kFabric   // what an oversubscribed fabric carries of a NIC beyond its leaf switch
};
inline constexpr std::size_t kLinkTiers = 5;

// GPUs of a node that share a link of a tier: neighbours, so many each; 0: there are no such links.
int gpus_per_link(const Cluster& cluster, LinkTier tier);

// What one link carries in one direction. Inside a node that is what several communicators reach
// together where it was measured, else the best that any collective of the cluster's library does
// with large messages; between nodes the NICs' line rate times `inter_node_efficiency`.
BytesPerSecond link_capacity(const Cluster& cluster, LinkTier tier);

// Bytes per second that a member of a group takes of each tier while it goes at full speed.
using TierRates = std::array<double, kLinkTiers>;
TierRates tier_rates(const Cluster& cluster, const CollectivePrice& price, const CommGroup& group);

}  // namespace rehearse
