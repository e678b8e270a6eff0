#include "hardware/topology_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rehearse {
namespace {

void only_for(Reader& reader, const Cluster& cluster, const char* key, const std::string& type) {
  if (reader.has(key) && cluster.intra_node.type != type)
    reader.error(key, fmt::format("'{}' is of links of type {}", key, type));
}

std::int64_t whole(const Value& item) {
  return item.is_scalar() ? scalar_as<std::int64_t>(item, "mesh") : -1;
}

// [[0, 1, 2], ...]: GPUs 0 and 1 have two NVLinks to each other.
void read_mesh(Reader& reader, Cluster& cluster) {
  const Value& list = reader.raw("mesh");
  if (list.is_null()) return;
  const auto wrong = [&] {
    reader.error("mesh", fmt::format("'mesh' is a list of [gpu, gpu, links] of a node's {} GPUs",
                                     cluster.gpus_per_node));
  };
  if (!list.is_list()) return wrong();
  for (const Value& item : list.as_list()) {
    if (!item.is_list() || item.as_list().size() != 3) return wrong();
    const auto& three = item.as_list();
    const std::int64_t a = whole(three[0]), b = whole(three[1]), links = whole(three[2]);
    const auto is_gpu = [&](std::int64_t g) { return g >= 0 && g < cluster.gpus_per_node; };
    if (!is_gpu(a) || !is_gpu(b) || a == b || links < 1 || links > 100) return wrong();
    cluster.node_links.mesh.push_back(
        {static_cast<int>(a), static_cast<int>(b), static_cast<int>(links)});
  }
  if (std::isinf(cluster.intra_node.bandwidth.value))
    reader.error("mesh", "a mesh needs a finite bandwidth: that of all links of one GPU");
}

}  // namespace

void read_node_links(Reader& reader, Cluster& cluster) {
  NodeLinks& n = cluster.node_links;
  only_for(reader, cluster, "mesh", "nvlink");
  for (const char* key : {"gpus_per_switch", "gpus_per_socket", "socket_bandwidth"})
    only_for(reader, cluster, key, "pcie");
  try {
    read_mesh(reader, cluster);
  } catch (const UserError& e) {
    reader.diagnostics().add(e);
  }
  n.gpus_per_switch = static_cast<int>(
      std::min<std::int64_t>(reader.count("gpus_per_switch", 0, 0), cluster.gpus_per_node));
  n.gpus_per_socket = static_cast<int>(
      std::min<std::int64_t>(reader.count("gpus_per_socket", 0, 0), cluster.gpus_per_node));
  n.socket_bandwidth = reader.optional<BytesPerSecond>("socket_bandwidth", BytesPerSecond(0));
}

void read_fabric(Reader& reader, Cluster& cluster) {
  cluster.nodes_per_leaf = static_cast<int>(
      std::min<std::int64_t>(reader.count("nodes_per_leaf", 0, 0), std::int64_t{1} << 24));
  if (cluster.topology == "torus" && cluster.nodes_per_leaf > 0)
    reader.error("nodes_per_leaf", "a torus has no leaf switches");
  cluster.switch_latency = reader.optional<Seconds>("switch_latency", Seconds(0));
  cluster.gpu_direct = reader.optional<bool>("gpu_direct", true);
  cluster.host_bandwidth = reader.optional<BytesPerSecond>("host_bandwidth", BytesPerSecond(0));
  if (!cluster.gpu_direct && !(cluster.host_bandwidth.value > 0))
    reader.error("gpu_direct",
                 "without GPU-direct a message passes the host's memory: 'host_bandwidth' says how "
                 "fast a NIC's PCIe path is, one direction");
}

}  // namespace rehearse
