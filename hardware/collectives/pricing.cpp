// From a group on a cluster to the cost of a collective.
//
// Idealised: every algorithm that applies on the links as stated; `auto` takes the cheapest of
// those that an ideal machine would use (a single flat ring, or hierarchical).
//
// A library: groups inside one node cost what was measured (TuningTable), and all_reduce,
// all_gather and reduce_scatter over a network that was fitted (NetworkPath) the best of what it
// says of algorithms and protocols. Anything else is
// NCCL's own model: the least over algorithms and protocols of base + the algorithm's formula,
// where a hop has the link's latency plus the protocol's, NVLink has the measured bandwidth of
// large messages, a NIC `inter_node_efficiency` of its line rate, and there is a ring for every
// NIC.
//
// NICs: a node has nics * bandwidth / oversubscription, shared evenly by the groups that
// communicate at the same time (CommGroup::concurrent_per_node). Of its group's share a rank gets
// 1 / ranks_per_node when all its ranks of the node send; when one sends alone, all of it, but
// never more than its own NICs carry (one NIC, or nics / gpus where a GPU has several).
//   8 GPUs, 8 NICs, tensor-parallel 8: each data-parallel group has one rank a node and one NIC.
//   8 GPUs, 4 NICs, the same: half a NIC. One group of all ranks: each rank one NIC, or half.

#include <algorithm>
#include <cmath>
#include <limits>

#include "hardware/collectives/algorithm.hpp"
#include "hardware/collectives/tuning.hpp"
#include "hardware/topology.hpp"

namespace rehearse {
namespace {

// Mean number of links between two different nodes of a torus, going the shorter way round.
double torus_hops(const std::vector<int>& dimensions) {
  double hops = 0;
  double nodes = 1;
  for (const int d : dimensions) {
    hops += std::floor(static_cast<double>(d) * d / 4) / d;
    nodes *= d;
  }
  return nodes > 1 ? hops * nodes / (nodes - 1) : 1;
}

// What so few channels carry between two GPUs: unlimited where the cluster does not limit them, or
// nobody knows what one carries.
BytesPerSecond channel_limit(const Cluster& cluster) {
  const CollectiveTuning& tuning = cluster.collectives;
  const bool known = tuning.table && tuning.table->channel_bandwidth.value > 0;
  if (tuning.ideal || tuning.channels == 0 || !known)
    return BytesPerSecond(std::numeric_limits<double>::infinity());
  return tuning.table->channel_bandwidth * static_cast<double>(tuning.channels);
}

Problem problem_of(const Cluster& cluster, CollectiveOp op, Bytes bytes, const CommGroup& group) {
  Problem p;
  p.op = op;
  p.bytes = static_cast<double>(bytes.value);
  p.ranks = group.ranks;
  p.nodes = group.nodes;
  p.ranks_per_node = group.ranks_per_node;
  p.least_per_node = group.least_per_node > 0 ? group.least_per_node : group.ranks_per_node;
  const BytesPerSecond inside =
      cluster.intra_node.bandwidth * (group.links.intra_node * group.inside);
  p.intra = {cluster.intra_node.latency, inside};
  p.chunks = cluster.collectives.chunks;
  p.nvls = cluster.collectives.nvls;
  p.nvls_bandwidth = inside;
  if (p.one_node()) return p;
  const double nics = cluster.nics_per_node;
  const double over = group.below_one_leaf ? 1 : cluster.oversubscription;
  const BytesPerSecond line = cluster.gpu_direct
                                  ? cluster.inter_node.bandwidth
                                  : min(cluster.inter_node.bandwidth, staged_bandwidth(cluster));
  const BytesPerSecond nic = line * (group.links.inter_node / over);
  const BytesPerSecond own = nic * std::max(1.0, nics / cluster.gpus_per_node);
  const BytesPerSecond share = nic * (nics / group.concurrent_per_node);
  const Seconds beyond_leaf =
      group.below_one_leaf || cluster.nodes_per_leaf == 0 ? Seconds(0) : 2 * cluster.switch_latency;
  p.inter = {cluster.inter_node.latency + beyond_leaf, std::min(own, share / p.r())};
  p.inter_alone = std::min(own, share);
  p.crossing = std::min(own * static_cast<double>(p.least_per_node), share);
  p.hops = cluster.topology == "torus" ? torus_hops(cluster.torus) : 1;
  return p;
}

struct Choice {
  const CollectiveAlgorithm* algorithm = nullptr;
  bool fitted = false;  // to the network
  Cost cost{Seconds(std::numeric_limits<double>::infinity()), Seconds(0), {}};

  void consider(const CollectiveAlgorithm& candidate, const Problem& p, Seconds base) {
    std::optional<Cost> found = candidate.cost(p);
    if (!found) return;
    found->latency += base;
    if (!algorithm || found->total() < cost.total()) {
      algorithm = &candidate;
      cost = *found;
    }
  }
};

// The chosen algorithm where it applies; `auto`, or an operation that it does not do: the best.
Choice cheapest(const Problem& p, std::string_view name, bool library, Seconds base) {
  Choice choice;
  if (name != "auto") {
    if (const CollectiveAlgorithm* chosen = find_collective_algorithm(name)) {
      choice.consider(*chosen, p, base);
    }
    if (choice.algorithm) return choice;
  }
  for (const CollectiveAlgorithm& candidate : collective_algorithms()) {
    if (library ? candidate.auto_library : candidate.auto_ideal) {
      choice.consider(candidate, p, base);
    }
  }
  return choice;
}

// Exchanges of an all_to_all that NCCL has under way: a choice, after one node's measured
// times, whose floor hardly rises from two to eight ranks.
constexpr double kExchangesAtOnce = 8;

bool has_path(CollectiveOp op) {
  return op == CollectiveOp::kAllReduce || op == CollectiveOp::kAllGather ||
         op == CollectiveOp::kReduceScatter;
}

// A ring's pieces are under way while others are sent: the longer of latency and transfer hides
// most of the other.
void hide(Cost& cost, double overlap) {
  const double longer = std::max(cost.latency.value, cost.bandwidth.value);
  const double shorter = std::min(cost.latency.value, cost.bandwidth.value);
  const Seconds both(longer * std::pow(1 + std::pow(shorter / longer, overlap), 1 / overlap));
  cost.latency = both - cost.bandwidth;
}

// A ring that waits for chunks on their way: each takes a hop, and a slice's transfer three times
// (out of the sender's memory, over the link, out of the buffer at its end); a slice is half a
// chunk.
void wait_for_chunks(Cost& cost, const Problem& p, int in_flight) {
  const double steps = (p.op == CollectiveOp::kAllReduce ? 2 : 1) * (p.n() - 1);
  const Seconds waiting = (steps * p.inter.latency + 1.5 * cost.bandwidth) / in_flight;
  cost.latency = max(cost.latency, waiting - cost.bandwidth);
}

// What was fitted to the network: the best algorithm and protocol. Empty where the cluster asks for
// an algorithm that nobody measured there.
Choice over_network(const Cluster& cluster, const TuningTable& table, const Problem& stated,
                    BytesPerSecond intra) {
  Problem p = stated;
  p.over_network = true;
  const BytesPerSecond channels = channel_limit(cluster);
  const std::string& asked = cluster.collectives.algorithm;
  Choice best;
  for (const NetworkPath& path : table.network) {
    if (asked != "auto" && asked != path.algorithm) continue;
    const auto protocol =
        std::find_if(table.protocols.begin(), table.protocols.end(),
                     [&](const Protocol& other) { return other.name == path.protocol; });
    p.intra = {stated.intra.latency + protocol->intra_hop,
               min(intra, channels) * protocol->bandwidth};
    p.inter = {stated.inter.latency - cluster.inter_node.latency + path.hop,
               min(stated.inter.bandwidth * path.efficiency, channels)};
    p.inter_alone = min(stated.inter_alone * path.efficiency, channels);
    p.crossing = min(stated.crossing * path.efficiency, channels);
    p.nvls_bandwidth = min(stated.nvls_bandwidth * table.nvls_efficiency, channels);
    const CollectiveAlgorithm* algorithm = find_collective_algorithm(path.algorithm);
    std::optional<Cost> cost = algorithm->cost(p);
    if (!cost) continue;
    cost->latency += protocol->base;
    if (path.algorithm == "ring") {
      hide(*cost, table.network_overlap);
      if (path.in_flight > 0) wait_for_chunks(*cost, p, path.in_flight);
    }
    if (!best.algorithm || cost->total() < best.cost.total()) {
      best.algorithm = algorithm;
      best.fitted = true;
      best.cost = *cost;
    }
  }
  return best;
}

// NCCL's model: the best protocol.
Choice modelled(const Cluster& cluster, const TuningTable& table, const Problem& stated) {
  Problem p = stated;
  const double scale = stated.intra.bandwidth.value / table.link.bandwidth.value;
  const CollectiveOp like = p.op == CollectiveOp::kBroadcast ? CollectiveOp::kAllGather : p.op;
  const BytesPerSecond intra = std::isfinite(scale)
                                   ? table.asymptotic(like, std::max(2, p.ranks_per_node)) * scale
                                   : stated.intra.bandwidth;
  const double efficiency = cluster.collectives.inter_node_efficiency;
  const BytesPerSecond channels = channel_limit(cluster);
  p.ring_per_nic = true;
  p.exchanges_at_once = kExchangesAtOnce;
  if (!p.one_node() && has_path(p.op)) {
    const Choice measured = over_network(cluster, table, p, intra);
    if (measured.algorithm) return measured;
  }
  Choice best;
  for (const Protocol& protocol : table.protocols) {
    const double of_nic = efficiency * protocol.bandwidth;
    p.intra = {stated.intra.latency + protocol.intra_hop,
               min(intra, channels) * protocol.bandwidth};
    p.inter = {stated.inter.latency + protocol.inter_hop,
               min(stated.inter.bandwidth * of_nic, channels)};
    p.inter_alone = min(stated.inter_alone * of_nic, channels);
    p.crossing = min(stated.crossing * of_nic, channels);
    p.nvls = stated.nvls && protocol.nvls;
    p.nvls_bandwidth = min(stated.nvls_bandwidth * table.nvls_efficiency, channels);
    const Choice choice = cheapest(p, cluster.collectives.algorithm, true, protocol.base);
    if (choice.algorithm && (!best.algorithm || choice.cost.total() < best.cost.total())) {
      best = choice;
    }
  }
  return best;
}

// Hops that one message makes one after the other, in a ring of one node.
double hops_in_sequence(CollectiveOp op, int ranks) {
  if (op == CollectiveOp::kAllReduce) return 2.0 * (ranks - 1);
  return op == CollectiveOp::kSendRecv || op == CollectiveOp::kAllToAll ? 1 : ranks - 1;
}

struct Measured {
  Cost cost;
  bool extrapolated = false;  // more ranks than anybody measured
  bool nvls = false;
  std::string basis;
};

// What was measured, moved to the cluster's links. Where a broadcast was not measured, a ring's
// all_gather of as many wire bytes takes as long; measured on fewer ranks, it is a chain that gets
// a hop longer with each. Where send_recv was not, two ranks that exchange halves in an all_to_all
// of twice the bytes do the same. Messages of pairs do not get slower with the number of ranks.
std::optional<Measured> measured(const Cluster& cluster, const TuningTable& table,
                                 const Problem& p) {
  CollectiveOp like = p.op;
  double bytes = p.bytes;
  int ranks = p.ranks;
  if (p.op == CollectiveOp::kSendRecv) {
    ranks = 2;
    if (!table.has(p.op)) {
      like = CollectiveOp::kAllToAll;
      bytes *= 2;
    }
  } else if (p.op == CollectiveOp::kBroadcast && !table.has(p.op)) {
    like = CollectiveOp::kAllGather;
    bytes *= p.n() / (p.n() - 1);
  }
  std::optional<Cost> cost = table.measured(like, bytes, ranks, p.nvls);
  if (!cost) return std::nullopt;
  const Seconds hop = cluster.intra_node.latency - table.link.latency;
  cost->latency = max(Seconds(0), cost->latency + hop * hops_in_sequence(p.op, p.ranks));
  cost->bandwidth = cost->bandwidth * (table.link.bandwidth.value / p.intra.bandwidth.value);
  const BytesPerSecond channels = channel_limit(cluster);
  if (std::isfinite(channels.value))
    cost->bandwidth = max(cost->bandwidth, Seconds(cost->sent.inside / channels.value));
  return Measured{*cost, table.beyond(like, ranks, p.nvls), table.uses_nvls(like, ranks, p.nvls),
                  table.basis(like, ranks, p.nvls)};
}

CollectivePrice finished(const Problem& p, Bytes payload, std::string_view algorithm, Cost cost,
                         std::string basis) {
  const double wire = algorithm == "nvls" ? p.bytes : wire_bytes(p.op, p.bytes, p.ranks);
  return {cost.total(),    std::string(algorithm), payload,          Bytes(std::llround(wire)),
          cost.latency,    cost.bandwidth,         cost.sent.inside, cost.sent.outside,
          std::move(basis)};
}

}  // namespace

double wire_bytes(CollectiveOp op, double bytes, int ranks) {
  const double part = static_cast<double>(ranks - 1) / ranks;
  switch (op) {
    case CollectiveOp::kAllReduce:
      return 2 * part * bytes;
    case CollectiveOp::kAllGather:
    case CollectiveOp::kReduceScatter:
    case CollectiveOp::kAllToAll:
      return part * bytes;
    case CollectiveOp::kBroadcast:
    case CollectiveOp::kSendRecv:
      return bytes;
  }
  return bytes;
}

BytesPerSecond bus_bandwidth(CollectiveOp op, Bytes bytes, int ranks, Seconds time) {
  return BytesPerSecond(wire_bytes(op, static_cast<double>(bytes.value), ranks) / time.value);
}

CollectivePrice price_collective(const Cluster& cluster, CollectiveOp op, Bytes bytes,
                                 const CommGroup& group) {
  if (group.ranks <= 1 || bytes.value <= 0) {
    return {Seconds(0), "none", bytes, Bytes(0), Seconds(0), Seconds(0), 0, 0, ""};
  }
  const CollectiveTuning& tuning = cluster.collectives;
  const Problem p = problem_of(cluster, op, bytes, group);
  if (tuning.ideal || !tuning.table) {
    const Choice choice = cheapest(p, tuning.algorithm, false, Seconds(0));
    return finished(p, bytes, choice.algorithm->name, choice.cost, "closed form");
  }
  const TuningTable& table = *tuning.table;
  const bool pairs = op == CollectiveOp::kAllToAll || op == CollectiveOp::kSendRecv;
  std::optional<Measured> found;
  if (p.one_node() && (tuning.algorithm == "auto" || pairs)) found = measured(cluster, table, p);
  const std::string_view name = pairs ? "direct" : found && found->nvls ? "nvls" : "ring";
  if (found && !found->extrapolated) return finished(p, bytes, name, found->cost, found->basis);
  // Where nobody measured so many ranks, a tree may do better than a ring that goes on growing.
  const Choice choice = modelled(cluster, table, p);
  if (found && found->cost.total() <= choice.cost.total()) {
    return finished(p, bytes, name, found->cost, found->basis);
  }
  return finished(p, bytes, choice.algorithm->name, choice.cost,
                  choice.fitted
                      ? "modelled by the library's protocols as fitted to the network's all_reduces"
                      : "modelled by the library's protocols, not measured");
}

Seconds point_to_point_time(const Cluster& cluster, int from_rank, int to_rank, Bytes bytes,
                            const LinkShare& links) {
  if (from_rank == to_rank) return Seconds(0);
  const int ends[] = {from_rank, to_rank};
  CommGroup pair = comm_group(cluster, ends);
  pair.concurrent_per_node = 1;
  pair.inside = topology_share(cluster, ends, false);
  pair.links = links;
  if (bytes.value > 0) return price_collective(cluster, CollectiveOp::kSendRecv, bytes, pair).time;
  // Nothing to carry, but a message all the same.
  return price_collective(cluster, CollectiveOp::kSendRecv, Bytes(1), pair).latency_part;
}

}  // namespace rehearse
