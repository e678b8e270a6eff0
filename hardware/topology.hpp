#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hardware/cluster.hpp"

namespace rehearse {

// The path of links between two GPUs, computed from the cluster's description.
//
//   inside a node   nvswitch, xgmi   GPU, switch, GPU
//                   nvlink mesh      the NVLinks between the two; without one, over the GPU between
//                                    them that has most
//                   pcie             GPU, PCIe switch(es), the sockets' link where it is crossed,
//                   GPU
//   between nodes   GPU, NIC, leaf switch, (spine, leaf,) NIC, GPU. A rail-optimized fabric has a
//                   leaf for every NIC of a node: a message to another rail first goes to the
//                   neighbour that has that rail (NCCL's PXN). Without GPU-direct it passes the
//                   host's memory before the NIC and after. On a torus: the nodes between.
//
// The stated latency of a tier is that of its shortest path; every switch beyond adds
// `switch_latency`.
struct RouteLink {
  std::string name;  // "NVLink", "NIC", "leaf-spine", ...
  BytesPerSecond bandwidth{0};
};

struct Route {
  std::vector<RouteLink> links;
  Seconds latency{0};

  BytesPerSecond bandwidth() const;  // of the narrowest link, nothing else on it
  std::string text() const;          // "NVLink > NVLink"
};
Route route(const Cluster& cluster, int from, int to);

// GPUs that one GPU reaches over routes of the same kind.
struct RouteClass {
  std::string name;  // "same node", "other node, same leaf", ...
  int example = 0;   // a GPU of it
  std::int64_t gpus = 0;
  Route route;
};
std::vector<RouteClass> route_classes(const Cluster& cluster, int from = 0);

// Without GPU-direct a message crosses the PCIe path of host and NIC twice, once each way: what is
// left of it for one direction of a NIC.
BytesPerSecond staged_bandwidth(const Cluster& cluster);

// Of the bandwidth that the cluster states inside a node, what the topology leaves to a group that
// communicates: in a mesh the NVLinks between its members, over PCIe switches and sockets the link
// between them. `alike`: the GPUs beside each member are in groups of the same shape, which
// communicate at the same time and share what is between switches and between sockets.
double topology_share(const Cluster& cluster, std::span<const int> members, bool alike);
// Members below one PCIe switch or of one socket, the fewest, where a group has members below
// several; else 0.
int below_one_switch(const Cluster& cluster, std::span<const int> members);
int below_one_socket(const Cluster& cluster, std::span<const int> members);
// Whether all nodes of a group are below one leaf switch, which oversubscription does not touch.
bool below_one_leaf(const Cluster& cluster, std::span<const int> members);

// A drawing for Graphviz; nodes that are alike are drawn once, with their number.
std::string topology_dot(const Cluster& cluster);

}  // namespace rehearse
