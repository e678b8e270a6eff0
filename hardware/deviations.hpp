#pragma once

#include "hardware/cluster.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {

// Reads `deviations` of a cluster whose size is known: a list of
//   {gpus: 5, speed: 0.8}                       a slow GPU; `gpus` takes 5, 8-15 or [1, 4, 8-15]
//   {gpus: 7, intra_node_bandwidth: 0.5}        half of its links to the other GPUs
//   {nodes: 3, inter_node_bandwidth: 0.5}       a slow uplink
//   {nodes: 3, lost_nics: 1}                    its traffic takes the NICs that are left
//   {nodes: 8-15, gpu: a100-sxm}                another type
// in any combination.
void read_deviations(Reader& cluster_reader, Cluster& cluster);

}  // namespace rehearse
