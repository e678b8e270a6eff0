#pragma once

#include "hardware/cluster.hpp"

namespace rehearse::testing {

// An ideal cluster whose links are what a closed form needs; `nics` of them a node, one per GPU
// unless said.
inline Cluster ideal_cluster(int nodes, int gpus_per_node, Link intra, Link inter = {},
                             int nics = 0) {
  Cluster c;
  c.name = "ideal";
  c.nodes = nodes;
  c.gpus_per_node = gpus_per_node;
  c.intra_node = intra;
  c.inter_node = inter;
  c.nics_per_node = nics > 0 ? nics : gpus_per_node;
  c.topology = "rail-optimized";
  c.collectives.ideal = true;
  return c;
}

inline Link link(double bandwidth, double latency) {
  return {"", BytesPerSecond(bandwidth), Seconds(latency)};
}

inline CommGroup one_node(int ranks) { return {ranks, 1, ranks, 1}; }

inline double seconds(const Cluster& c, CollectiveOp op, std::int64_t bytes, const CommGroup& g) {
  return price_collective(c, op, Bytes(bytes), g).time.value;
}

inline double seconds_by(Cluster c, const char* algorithm, std::int64_t chunks, CollectiveOp op,
                         std::int64_t bytes, const CommGroup& g) {
  c.collectives.algorithm = algorithm;
  c.collectives.chunks = chunks;
  return seconds(c, op, bytes, g);
}

}  // namespace rehearse::testing
