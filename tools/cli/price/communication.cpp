#include <fmt/format.h>

#include <algorithm>

#include "hardware/collectives/algorithm.hpp"
#include "hardware/collectives/tuning.hpp"
#include "sim/base/format.hpp"
#include "sim/base/suggest.hpp"
#include "tools/cli/price/operators.hpp"

namespace rehearse {
namespace {

CollectiveOp op_of(std::string_view name) {
  for (std::size_t i = 0; i < kCollectiveOps; ++i) {
    if (to_string(static_cast<CollectiveOp>(i)) == name) return static_cast<CollectiveOp>(i);
  }
  throw std::logic_error("no collective " + std::string(name));
}

// What a rank holds before: the size that people confuse with the payload.
Bytes input_per_rank(CollectiveOp op, Bytes payload, int ranks) {
  return op == CollectiveOp::kAllGather ? payload / ranks : payload;
}

const Cluster* read_cluster_of(PriceArguments& arguments, PriceMachines& machines) {
  const std::string text = arguments.text("cluster");
  if (text.empty()) return nullptr;
  try {
    return &machines.cluster(text);
  } catch (const UserError& e) {
    for (const Diagnostic& d : e.diagnostics()) {
      if (!d.mark.file.empty()) throw;
      arguments.error("cluster", d.message, d.hint);
    }
    return nullptr;
  }
}

// The group as told: as few nodes as hold the ranks, growing the cluster where it has a network.
CommGroup read_group(PriceArguments& arguments, const Cluster& cluster) {
  const std::int64_t per_node = cluster.gpus_per_node;
  const std::int64_t ranks = arguments.count(
      "ranks", arguments.has("nodes") ? per_node * arguments.count("nodes") : cluster.gpus());
  const std::int64_t nodes = arguments.count("nodes", (ranks + per_node - 1) / per_node);
  if (nodes > ranks || (ranks + nodes - 1) / nodes > per_node || ranks > (1 << 24)) {
    arguments.error(
        "ranks", fmt::format("{} ranks do not fit on {} nodes of {} GPUs", ranks, nodes, per_node));
    return {};
  }
  if (nodes > 1 && cluster.nics_per_node == 0) {
    arguments.error(
        arguments.has("nodes") ? "nodes" : "ranks",
        fmt::format("{} ranks need {} nodes, and the cluster has no 'inter_node'", ranks, nodes),
        fmt::format("at most {} ranks", per_node));
    return {};
  }
  std::vector<int> members;
  for (std::int64_t node = 0; node < nodes; ++node)
    for (std::int64_t local = 0; local < ranks / nodes + (node < ranks % nodes ? 1 : 0); ++local)
      members.push_back(static_cast<int>(node * per_node + local));
  CommGroup group = comm_group(cluster, members);
  const std::int64_t concurrent = arguments.count("concurrent", 1);
  if (concurrent * group.ranks_per_node > per_node) {
    arguments.error("concurrent", fmt::format("{} groups of {} ranks a node exceed its {} GPUs",
                                              concurrent, group.ranks_per_node, per_node));
    return {};
  }
  group.concurrent_per_node = static_cast<int>(concurrent);
  return group;
}

std::vector<PriceFact> facts_of(const Cluster& cluster, CollectiveOp op, const CommGroup& group,
                                const CollectivePrice& price) {
  const Bytes input = input_per_rank(op, price.payload, group.ranks);
  const bool any = price.time.value > 0;
  const BytesPerSecond algorithm = any ? price.payload / price.time : BytesPerSecond(0);
  const BytesPerSecond bus =
      any ? bus_bandwidth(op, price.payload, group.ranks, price.time) : BytesPerSecond(0);
  std::vector<PriceFact> facts;
  facts.push_back({"cluster", cluster.name, "cluster", cluster.name});
  facts.push_back(
      {"ranks",
       fmt::format("{} on {} node{}", group.ranks, group.nodes, group.nodes == 1 ? "" : "s"),
       "ranks", group.ranks});
  facts.push_back({"nodes", fmt::format("{}", group.nodes), "nodes", group.nodes});
  facts.push_back(
      {"payload (full buffer)", format_bytes(price.payload), "payload_bytes", price.payload.value});
  facts.push_back({"input of each rank", format_bytes(input), "input_bytes_per_rank", input.value});
  facts.push_back({"sent by each rank", format_bytes(price.wire_bytes_per_rank),
                   "wire_bytes_per_rank", price.wire_bytes_per_rank.value});
  facts.push_back({"algorithm", price.algorithm, "algorithm", price.algorithm});
  facts.push_back(
      {"of it latency", format_seconds(price.latency_part), "latency_s", price.latency_part.value});
  facts.push_back({"of it bandwidth", format_seconds(price.bandwidth_part), "bandwidth_s",
                   price.bandwidth_part.value});
  facts.push_back(
      {"algorithm bandwidth", format_rate(algorithm), "algorithm_bytes_per_s", algorithm.value});
  facts.push_back({"bus bandwidth", format_rate(bus), "bus_bytes_per_s", bus.value});
  const auto& table = cluster.collectives.table;
  const std::string source = cluster.collectives.ideal ? "ideal links"
                             : table                   ? "tuning " + table->name
                                                       : "stated links";
  facts.push_back({"source", source, "source", source});
  if (table && !cluster.collectives.ideal && any)
    facts.push_back({"rests on", price.basis, "basis", price.basis});
  return facts;
}

}  // namespace

Priced price_communication(std::string_view name, PriceArguments& arguments,
                           PriceMachines& machines, bool explain) {
  const CollectiveOp op = op_of(name);
  const Cluster* cluster = read_cluster_of(arguments, machines);
  const Bytes bytes = arguments.bytes("bytes");
  if (!cluster) return {};
  const CommGroup group = read_group(arguments, *cluster);
  Cluster told;
  if (arguments.has("algorithm") || arguments.has("chunks")) {
    told = *cluster;
    std::vector<std::string> names = collective_algorithm_names();
    names.insert(names.begin(), "auto");
    if (arguments.has("algorithm")) {
      told.collectives.algorithm = names[arguments.choice("algorithm", names)];
    }
    told.collectives.chunks = arguments.has("chunks") ? arguments.count("chunks") : 0;
    cluster = &told;
  }
  const CollectivePrice price = price_collective(*cluster, op, bytes, group);
  Priced result;
  result.time = price.time;
  if (explain) result.facts = facts_of(*cluster, op, group, price);
  return result;
}

}  // namespace rehearse
