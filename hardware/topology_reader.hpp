#pragma once

#include "hardware/cluster.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {

// The keys of `intra_node` and `inter_node` that say how links are laid out, beside bandwidth and
// latency; configs/clusters/README.md lists them.
void read_node_links(Reader& intra_node, Cluster& cluster);
void read_fabric(Reader& inter_node, Cluster& cluster);

}  // namespace rehearse
