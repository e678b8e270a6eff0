#include "hardware/cluster.hpp"

#include <algorithm>
#include <limits>
#include <map>

#include "hardware/collectives/algorithm.hpp"
#include "hardware/collectives/tuning.hpp"
#include "hardware/deviations.hpp"
#include "hardware/topology.hpp"
#include "hardware/topology_reader.hpp"
#include "sim/base/suggest.hpp"
#include "sim/config/catalog.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {
namespace {

constexpr std::int64_t kMostGpus = std::int64_t{1} << 24;

const std::vector<std::string> kIntraTypes{"nvswitch", "nvlink", "pcie", "xgmi"};
const std::vector<std::string> kInterTypes{"infiniband", "ethernet",  "roce",
                                           "efa",        "slingshot", "nvswitch"};
const std::vector<std::string> kTopologies{"rail-optimized", "fat-tree", "torus"};

void read_bandwidth_and_latency(Reader& reader, Link& link) {
  link.bandwidth = reader.required<BytesPerSecond>("bandwidth");
  link.latency = reader.optional<Seconds>("latency", Seconds(0));
  if (reader.has("bandwidth") && !(link.bandwidth.value > 0)) {
    reader.error("bandwidth", "'bandwidth' must be positive");
  }
  if (!(link.latency.value >= 0)) reader.error("latency", "'latency' must not be negative");
}

void read_intra_node(Reader& cluster_reader, Cluster& cluster) {
  if (!cluster_reader.has("intra_node")) {
    if (cluster.gpus_per_node > 1) {
      cluster_reader.error("intra_node",
                           "missing 'intra_node': " + std::to_string(cluster.gpus_per_node) +
                               " GPUs of a node need links between them");
    }
    return;
  }
  Reader reader = cluster_reader.child("intra_node");
  cluster.intra_node.type = kIntraTypes[reader.choice("type", kIntraTypes, 0)];
  read_bandwidth_and_latency(reader, cluster.intra_node);
  read_node_links(reader, cluster);
  reader.finish();
}

void read_torus(Reader& reader, Cluster& cluster) {
  for (const std::int64_t d : reader.list<std::int64_t>("dimensions")) {
    if (d < 1 || d > kMostGpus) {
      reader.error("dimensions", "'dimensions' must be positive");
      return;
    }
    cluster.torus.push_back(static_cast<int>(d));
  }
  if (cluster.topology != "torus") {
    if (!cluster.torus.empty()) reader.error("dimensions", "only a torus has 'dimensions'");
    return;
  }
  std::int64_t nodes = 1;
  for (const int d : cluster.torus) nodes = std::min(nodes * d, kMostGpus);
  if (cluster.torus.empty() || nodes != cluster.nodes) {
    reader.error("dimensions", "a torus needs 'dimensions' whose product is the number of nodes, " +
                                   std::to_string(cluster.nodes));
  }
}

void read_inter_node(Reader& cluster_reader, Cluster& cluster) {
  if (!cluster_reader.has("inter_node")) {
    if (cluster.nodes > 1) {
      cluster_reader.error("inter_node", "missing 'inter_node': " + std::to_string(cluster.nodes) +
                                             " nodes need a network between them");
    }
    return;
  }
  Reader reader = cluster_reader.child("inter_node");
  cluster.inter_node.type = kInterTypes[reader.choice("type", kInterTypes, 0)];
  cluster.nics_per_node = static_cast<int>(
      std::min(reader.count("nics_per_node", cluster.gpus_per_node, 1), kMostGpus));
  read_bandwidth_and_latency(reader, cluster.inter_node);
  cluster.topology = kTopologies[reader.choice("topology", kTopologies, 0)];
  cluster.oversubscription = reader.optional<double>("oversubscription", 1);
  if (!(cluster.oversubscription >= 1)) {
    reader.error("oversubscription",
                 "'oversubscription' is NIC bandwidth over what the fabric "
                 "carries, at least 1");
  }
  read_torus(reader, cluster);
  read_fabric(reader, cluster);
  reader.finish();
}

void read_collectives(Reader& cluster_reader, Cluster& cluster) {
  Reader reader = cluster_reader.child("collectives");
  CollectiveTuning& tuning = cluster.collectives;
  std::vector<std::string> names = collective_algorithm_names();
  names.insert(names.begin(), "auto");
  tuning.algorithm = names[reader.choice("algorithm", names, 0)];
  tuning.ideal = reader.optional<bool>("ideal", false);
  tuning.nvls = reader.optional<bool>("nvls", false);
  tuning.chunks = reader.count("chunks", 0, 0);
  tuning.channels = static_cast<int>(std::min<std::int64_t>(reader.count("channels", 0, 0), 64));
  tuning.inter_node_efficiency = reader.optional<double>("inter_node_efficiency", 0.9);
  if (!(tuning.inter_node_efficiency > 0 && tuning.inter_node_efficiency <= 1)) {
    reader.error(
        "inter_node_efficiency",
        "'inter_node_efficiency' is a fraction of the NICs' line rate, above 0 and at most 1");
  }
  cluster.communicator_memory = reader.optional<Bytes>("communicator_memory", Bytes(0));
  try {
    tuning.table = with_protocols(
        with_network(resolve_tuning(reader.raw("tuning"), cluster.gpu.name), reader.raw("network")),
        reader.raw("protocols"));
  } catch (const UserError& e) {
    reader.diagnostics().add(e);
  }
  reader.finish();
}

void read_host(Reader& cluster_reader, Cluster& cluster) {
  Reader reader = cluster_reader.child("host");
  cluster.host.speed = reader.optional<double>("speed", 1);
  cluster.host.launch_latency = reader.optional<Seconds>("launch_latency", Seconds(0));
  if (!(cluster.host.speed > 0)) reader.error("speed", "'speed' must be positive");
  if (!(cluster.host.launch_latency.value >= 0)) {
    reader.error("launch_latency", "'launch_latency' must not be negative");
  }
  cluster.host.round_trip = reader.optional<Seconds>("round_trip", Seconds(0));
  if (!(cluster.host.round_trip.value >= 0)) {
    reader.error("round_trip", "'round_trip' must not be negative");
  }
  reader.finish();
}

void read_gpu_of(Reader& reader, Cluster& cluster) {
  const Value& field = reader.raw("gpu");
  if (field.is_null()) {
    reader.error("gpu", "missing 'gpu'");
    return;
  }
  try {
    cluster.gpu = read_gpu(resolve("gpus", field));
  } catch (const UserError& e) {
    reader.diagnostics().add(e);
  }
}

}  // namespace

std::string_view to_string(CollectiveOp op) {
  switch (op) {
    case CollectiveOp::kAllReduce:
      return "all_reduce";
    case CollectiveOp::kAllGather:
      return "all_gather";
    case CollectiveOp::kReduceScatter:
      return "reduce_scatter";
    case CollectiveOp::kBroadcast:
      return "broadcast";
    case CollectiveOp::kAllToAll:
      return "all_to_all";
    case CollectiveOp::kSendRecv:
      return "send_recv";
  }
  return "";
}

Cluster read_cluster(const Value& tree) {
  Diagnostics diagnostics;
  Cluster cluster;
  Reader reader(tree, "cluster", diagnostics);
  cluster.name = reader.optional<std::string>("name", "");
  read_gpu_of(reader, cluster);
  const std::int64_t per_node = reader.count("gpus_per_node", 1);
  const std::int64_t nodes = reader.count("nodes", 1);
  if (per_node > kMostGpus || nodes > kMostGpus / per_node) {
    reader.error("nodes", "more than " + std::to_string(kMostGpus) + " GPUs");
  } else {
    cluster.gpus_per_node = static_cast<int>(per_node);
    cluster.nodes = static_cast<int>(nodes);
  }
  read_intra_node(reader, cluster);
  read_inter_node(reader, cluster);
  read_collectives(reader, cluster);
  read_host(reader, cluster);
  read_deviations(reader, cluster);
  cluster.price_per_gpu_hour = reader.optional<double>("price_per_gpu_hour", 0);
  if (!(cluster.price_per_gpu_hour >= 0)) {
    reader.error("price_per_gpu_hour", "'price_per_gpu_hour' must not be negative");
  }
  cluster.pue = reader.optional<double>("pue", 1);
  if (!(cluster.pue >= 1)) {
    reader.error("pue", "'pue' is the data centre's energy over the GPUs', at least 1");
  }
  reader.finish();
  diagnostics.throw_if_any();
  return cluster;
}

Cluster idealised(const Cluster& cluster) {
  Cluster ideal = cluster;
  ideal.gpu = idealised(cluster.gpu);
  for (Gpu& other : ideal.other_gpus) other = idealised(other);
  ideal.collectives.ideal = true;
  ideal.host.speed = std::numeric_limits<double>::infinity();
  ideal.host.launch_latency = ideal.host.round_trip = Seconds(0);
  return ideal;
}

CommGroup comm_group(const Cluster& cluster, std::span<const int> members) {
  std::map<int, int> ranks_on_node;
  CommGroup group;
  for (const int rank : members) {
    ++ranks_on_node[rank / cluster.gpus_per_node];
    if (!cluster.deviations.empty())
      group.links = slower(group.links, gpu_state(cluster, rank).links);
  }
  group.ranks = static_cast<int>(members.size());
  group.nodes = std::max(1, static_cast<int>(ranks_on_node.size()));
  group.inside = topology_share(cluster, members, true);
  group.below_switch = below_one_switch(cluster, members);
  group.below_socket = below_one_socket(cluster, members);
  group.below_one_leaf = below_one_leaf(cluster, members);
  for (const auto& [node, ranks] : ranks_on_node) {
    group.ranks_per_node = std::max(group.ranks_per_node, ranks);
    if (group.least_per_node == 0 || ranks < group.least_per_node) group.least_per_node = ranks;
  }
  group.concurrent_per_node = std::max(1, cluster.gpus_per_node / group.ranks_per_node);
  return group;
}

}  // namespace rehearse
