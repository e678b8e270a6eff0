#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/cluster.hpp"

namespace rehearse {

// One hop of a tier as an algorithm sees it: a message of S bytes takes latency + S / bandwidth.
struct Hop {
  Seconds latency{0};
  BytesPerSecond bandwidth{0};
};

// A collective to be priced: who, how much, over what. The same formulas serve the idealised
// cluster (the links as stated, one ring) and a library (the links as one of its protocols uses
// them, a ring for every NIC of the group, a fixed cost).
//
// `ranks_per_node` is that of the fullest node and `least_per_node` that of the emptiest; where
// they are the same, n = nodes * ranks_per_node. An uneven group goes at the pace of the node that
// its algorithm loads most.
struct Problem {
  CollectiveOp op = CollectiveOp::kAllReduce;
  double bytes = 0;  // of the full buffer
  int ranks = 1;
  int nodes = 1;
  int ranks_per_node = 1;
  int least_per_node = 1;
  Hop intra;  // GPU to GPU inside a node, per rank
  Hop inter;  // between nodes, for each rank while all the group's ranks of a node send
  BytesPerSecond inter_alone{0};  // the same while one rank of the node sends
  BytesPerSecond crossing{0};     // of the emptiest node while all the group's ranks there send
  bool ring_per_nic = false;      // a ring for every NIC of the group, as NCCL; else a single one
  double exchanges_at_once = 1;   // of an all_to_all's pairs; a library has several under way
  double hops = 1;  // links that an all_to_all message between nodes crosses (torus: more than 1)
  // A library over a network that was measured: hops are those of the message that has most of
  // them, and two nodes are no tree.
  bool over_network = false;
  std::int64_t chunks = 0;
  bool nvls = false;
  BytesPerSecond nvls_bandwidth{0};  // of a rank to the switch that reduces

  // What rings have at a node's boundary.
  BytesPerSecond ring_crossing() const { return ring_per_nic ? crossing : inter_alone; }
  // The slower of the tiers that a ring or a chain through all ranks runs over.
  BytesPerSecond ring_bandwidth() const {
    if (one_node()) return intra.bandwidth;
    return ranks_per_node > 1 ? std::min(intra.bandwidth, ring_crossing()) : ring_crossing();
  }

  // Boundaries of nodes that a message passes once around a ring of all ranks: one link is left
  // out, which for the message of most crossings is one inside a node, where there are any.
  double ring_crossings() const { return over_network && ranks_per_node > 1 ? k() : k() - 1; }
  // Bytes that a node sends for one of a buffer in a double binary tree: half up, twice half down,
  // and half up in the tree whose leaf it is. Of two nodes each is root of one tree and leaf of the
  // other: half down, half up.
  double tree_bytes() const { return over_network && nodes == 2 ? 1 : 2; }

  double n() const { return static_cast<double>(ranks); }
  double r() const { return static_cast<double>(ranks_per_node); }
  double k() const { return static_cast<double>(nodes); }
  bool one_node() const { return nodes == 1; }
  bool even() const { return least_per_node == ranks_per_node; }
};

// Bytes that a rank sends to others of its node, and out of it over its NIC: what a collective
// takes of links that others may want too.
struct SentBytes {
  double inside = 0, outside = 0;
};

struct Cost {
  Seconds latency{0};
  Seconds bandwidth{0};
  SentBytes sent{};
  Seconds total() const { return latency + bandwidth; }
};

// What an algorithm costs; empty when it does not do this operation on this group.
using CostFunction = std::optional<Cost> (*)(const Problem&);

struct CollectiveAlgorithm {
  std::string_view name;
  std::string_view summary;
  CostFunction cost;
  bool auto_ideal;    // an idealised cluster considers it when the algorithm is `auto`
  bool auto_library;  // a library (NCCL) does
};

// Every algorithm, in the order in which ties are broken.
std::span<const CollectiveAlgorithm> collective_algorithms();
const CollectiveAlgorithm* find_collective_algorithm(std::string_view name);
std::vector<std::string> collective_algorithm_names();

// Of a ring, a chain or a tree on which each rank sends `bytes`.
SentBytes to_neighbours(const Problem& p, double bytes);

// Bytes that each rank sends when nothing is sent twice: all_reduce 2(n-1)/n S; all_gather,
// reduce_scatter and all_to_all (n-1)/n S; broadcast (all ranks but the last of a chain) and
// send_recv S.
double wire_bytes(CollectiveOp op, double bytes, int ranks);

// The pipelined chain of `steps` + 1 ranks and the best number of pieces for it; shared by the
// broadcasts of ring and tree.
Cost pipelined_chain(double steps, double bytes, const Hop& hop, std::int64_t chunks);

std::optional<Cost> ring_cost(const Problem& p);
std::optional<Cost> tree_cost(const Problem& p);
std::optional<Cost> recursive_cost(const Problem& p);
std::optional<Cost> hierarchical_cost(const Problem& p);
std::optional<Cost> direct_cost(const Problem& p);
std::optional<Cost> nvls_cost(const Problem& p);

}  // namespace rehearse
