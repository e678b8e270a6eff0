#include "hardware/topology.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>

namespace rehearse {
namespace {

int node_of(const Cluster& c, int rank) { return rank / c.gpus_per_node; }
int local_of(const Cluster& c, int rank) { return rank % c.gpus_per_node; }
int nic_of(const Cluster& c, int rank) {
  return local_of(c, rank) * std::max(1, c.nics_per_node) / c.gpus_per_node;
}
int leaf_of(const Cluster& c, int node) {
  return c.nodes_per_leaf > 0 ? node / c.nodes_per_leaf : 0;
}
int socket_of(const NodeLinks& n, int local) {
  return n.gpus_per_socket > 0 ? local / n.gpus_per_socket : 0;
}

int mesh_links(const Cluster& c, int a, int b) {
  int links = 0;
  for (const MeshLink& m : c.node_links.mesh)
    if ((m.a == a && m.b == b) || (m.a == b && m.b == a)) links += m.links;
  return links;
}

// One NVLink of a mesh: the stated bandwidth is that of all links of the GPU with most.
BytesPerSecond mesh_link_bandwidth(const Cluster& c) {
  int most = 1;
  for (int g = 0; g < c.gpus_per_node; ++g) {
    int own = 0;
    for (int other = 0; other < c.gpus_per_node; ++other) own += mesh_links(c, g, other);
    most = std::max(most, own);
  }
  return c.intra_node.bandwidth / most;
}

std::string nvlinks(int n) { return fmt::format("{} NVLink{}", n, n == 1 ? "" : "s"); }

Route mesh_route(const Cluster& c, int a, int b) {
  const BytesPerSecond one = mesh_link_bandwidth(c);
  if (const int direct = mesh_links(c, a, b); direct > 0)
    return {{{nvlinks(direct), one * direct}}, c.intra_node.latency};
  int best = -1, width = 0;
  for (int via = 0; via < c.gpus_per_node; ++via) {
    const int narrow = std::min(mesh_links(c, a, via), mesh_links(c, via, b));
    if (narrow > width) {
      width = narrow;
      best = via;
    }
  }
  if (best < 0) return {{{"host", BytesPerSecond(0)}}, c.intra_node.latency};
  const std::string through = fmt::format("GPU {}, {}", best, nvlinks(width));
  return {{{nvlinks(width), one * width}, {through, one * width}}, 2 * c.intra_node.latency};
}

Route inside_node(const Cluster& c, int a, int b) {
  if (!c.node_links.mesh.empty()) return mesh_route(c, a, b);
  const BytesPerSecond bandwidth = c.intra_node.bandwidth;
  if (c.intra_node.type != "pcie") {
    const std::string name = c.intra_node.type == "xgmi" ? "xGMI" : "NVLink";
    if (c.intra_node.type == "nvlink") return {{{name, bandwidth}}, c.intra_node.latency};
    return {{{name, bandwidth}, {"NVSwitch, " + name, bandwidth}}, c.intra_node.latency};
  }
  const NodeLinks& n = c.node_links;
  Route r{{{"PCIe", bandwidth}}, c.intra_node.latency};
  if (n.gpus_per_switch > 0 && a / n.gpus_per_switch != b / n.gpus_per_switch)
    r.links.push_back({"root complex", bandwidth});
  if (socket_of(n, a) != socket_of(n, b) && n.socket_bandwidth.value > 0)
    r.links.push_back({"socket link", n.socket_bandwidth});
  r.links.push_back({"PCIe", bandwidth});
  return r;
}

int torus_distance(const Cluster& c, int a, int b) {
  int distance = 0;
  for (const int size : c.torus) {
    const int apart = std::abs(a % size - b % size);
    distance += std::min(apart, size - apart);
    a /= size;
    b /= size;
  }
  return distance;
}

void through_host(const Cluster& c, Route& r) {
  if (!c.gpu_direct) r.links.push_back({"host memory", staged_bandwidth(c)});
}

Route between_nodes(const Cluster& c, int from, int to) {
  const int a = node_of(c, from), b = node_of(c, to);
  const bool rails = c.topology == "rail-optimized";
  const bool same_rail = nic_of(c, from) == nic_of(c, to);
  const BytesPerSecond nic = c.inter_node.bandwidth;
  Route r{{}, c.inter_node.latency};
  if (rails && !same_rail && c.gpus_per_node > 1) {
    r = inside_node(c, local_of(c, from), local_of(c, to));
    r.latency += c.inter_node.latency;
  }
  through_host(c, r);
  r.links.push_back(
      {c.inter_node.type == "ethernet" || c.inter_node.type == "roce" ? "Ethernet NIC" : "NIC",
       nic});
  if (c.topology == "torus") {
    const int distance = torus_distance(c, a, b);
    for (int i = 1; i < distance; ++i) r.links.push_back({"node", nic});
    r.latency += c.switch_latency * (distance - 1);
  } else if (leaf_of(c, a) != leaf_of(c, b)) {
    r.links.push_back({"leaf-spine", nic / c.oversubscription});
    r.links.push_back({"spine-leaf", nic / c.oversubscription});
    r.latency += 2 * c.switch_latency;
  } else {
    // One leaf (or a fabric without a stated leaf, whose oversubscription touches everything).
    const double shared = c.nodes_per_leaf > 0 ? 1 : c.oversubscription;
    r.links.push_back({c.nodes_per_leaf > 0 ? "leaf" : "fabric", nic / shared});
  }
  r.links.push_back({"NIC", nic});
  through_host(c, r);
  return r;
}

std::string class_name(const Cluster& c, int from, int to, const Route& r) {
  if (node_of(c, from) == node_of(c, to)) return "same node, " + r.text();
  std::string name = "other node";
  if (c.topology == "torus")
    return name + fmt::format(", {} away", torus_distance(c, node_of(c, from), node_of(c, to)));
  if (c.nodes_per_leaf > 0)
    name +=
        leaf_of(c, node_of(c, from)) == leaf_of(c, node_of(c, to)) ? ", same leaf" : ", other leaf";
  if (c.topology == "rail-optimized" && c.nics_per_node > 1)
    name += nic_of(c, from) == nic_of(c, to) ? ", same rail" : ", other rail";
  return name;
}

}  // namespace

BytesPerSecond staged_bandwidth(const Cluster& cluster) { return cluster.host_bandwidth / 2; }

BytesPerSecond Route::bandwidth() const {
  BytesPerSecond least = links.empty() ? BytesPerSecond(0) : links.front().bandwidth;
  for (const RouteLink& l : links) least = min(least, l.bandwidth);
  return least;
}

std::string Route::text() const {
  std::string out;
  for (const RouteLink& l : links) out += (out.empty() ? "" : " > ") + l.name;
  return out;
}

Route route(const Cluster& cluster, int from, int to) {
  if (from == to) return {};
  if (node_of(cluster, from) == node_of(cluster, to))
    return inside_node(cluster, local_of(cluster, from), local_of(cluster, to));
  return between_nodes(cluster, from, to);
}

std::vector<RouteClass> route_classes(const Cluster& cluster, int from) {
  std::vector<RouteClass> out;
  for (int to = 0; to < cluster.gpus(); ++to) {
    if (to == from) continue;
    Route r = route(cluster, from, to);
    const std::string name = class_name(cluster, from, to, r);
    const auto same = std::find_if(out.begin(), out.end(), [&](const RouteClass& k) {
      return k.name == name && k.route.bandwidth() == r.bandwidth();
    });
    if (same == out.end())
      out.push_back({name, to, 1, std::move(r)});
    else
      ++same->gpus;
  }
  return out;
}

namespace {

// GPUs of a group on its first member's node: nodes are alike.
std::vector<int> locals_of(const Cluster& cluster, std::span<const int> members) {
  std::vector<int> locals;
  for (const int rank : members)
    if (node_of(cluster, rank) == node_of(cluster, members.front()))
      locals.push_back(local_of(cluster, rank));
  return locals;
}

// Of GPUs in blocks of so many: the fewest in one block, where they are in several; else 0.
int fewest_in_block(const std::vector<int>& locals, int block) {
  if (block <= 0) return 0;
  std::map<int, int> counts;
  for (const int l : locals) ++counts[l / block];
  if (counts.size() < 2) return 0;
  int fewest = static_cast<int>(locals.size());
  for (const auto& [number, count] : counts) fewest = std::min(fewest, count);
  return fewest;
}

// What the link out of a block leaves to one of the groups that cross it.
double share_of_block(const Cluster& cluster, int block, int members, BytesPerSecond link,
                      bool alike) {
  if (members == 0) return 1;
  const double groups = alike ? std::max(1.0, static_cast<double>(block) / members) : 1;
  return std::min(1.0, ratio(link, cluster.intra_node.bandwidth) / groups);
}

}  // namespace

int below_one_switch(const Cluster& cluster, std::span<const int> members) {
  return fewest_in_block(locals_of(cluster, members), cluster.node_links.gpus_per_switch);
}

int below_one_socket(const Cluster& cluster, std::span<const int> members) {
  const NodeLinks& n = cluster.node_links;
  if (n.socket_bandwidth.value <= 0) return 0;
  return fewest_in_block(locals_of(cluster, members), n.gpus_per_socket);
}

double topology_share(const Cluster& cluster, std::span<const int> members, bool alike) {
  const NodeLinks& n = cluster.node_links;
  if (n.mesh.empty()) {
    const double bridge =
        share_of_block(cluster, n.gpus_per_switch, below_one_switch(cluster, members),
                       cluster.intra_node.bandwidth, alike);
    const double socket = share_of_block(
        cluster, n.gpus_per_socket, below_one_socket(cluster, members), n.socket_bandwidth, alike);
    return std::min(bridge, socket);
  }
  const std::vector<int> locals = locals_of(cluster, members);
  if (locals.size() < 2) return 1;
  // Rings, each of which takes one link out of every member and one in: as many as the member with
  // the fewest links to the others has. Two GPUs without a link meet over a third.
  int fewest = 1 << 20;
  for (const int a : locals) {
    int own = 0;
    for (const int b : locals) own += mesh_links(cluster, a, b);
    fewest = std::min(fewest, own);
  }
  const double one = ratio(mesh_link_bandwidth(cluster), cluster.intra_node.bandwidth);
  return std::max(1, fewest) * one;
}

bool below_one_leaf(const Cluster& cluster, std::span<const int> members) {
  if (cluster.nodes_per_leaf <= 0) return false;
  return std::all_of(members.begin(), members.end(), [&](int rank) {
    return leaf_of(cluster, node_of(cluster, rank)) ==
           leaf_of(cluster, node_of(cluster, members.front()));
  });
}

}  // namespace rehearse
