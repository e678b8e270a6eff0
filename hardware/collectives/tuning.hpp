#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "hardware/collectives/algorithm.hpp"
#include "sim/config/value.hpp"

namespace rehearse {

// A range of sizes over which the library uses one protocol, number of channels and so on, so that
// time is a straight line: latency + wire bytes / bandwidth. The ranges and lines are fitted to
// measurements (calibration/nccl/fit_nccl.py), and a line's latency holds whatever the library
// adds to the links'.
struct Regime {
  double from_bytes = 0;  // of the full buffer
  Seconds latency{0};
  BytesPerSecond bandwidth{0};  // of wire bytes: bus bandwidth without the latency
  // Time at the end of the regime before. Where a library changes protocol too early the lines
  // have a step down; a larger message never takes less time here.
  Seconds floor{0};
};

// One operation on one number of ranks inside one node.
struct MeasuredCurve {
  int ranks = 0;
  bool nvls = false;  // measured with in-network reduction: each rank sends the buffer once
  std::vector<Regime> regimes;

  Cost at(CollectiveOp op, double bytes) const;
};

// A protocol of the library, for what was not measured: several nodes, or a given algorithm.
struct Protocol {
  std::string name;
  Seconds base{0};       // once, whatever the number of ranks
  Seconds intra_hop{0};  // on top of a link's latency
  Seconds inter_hop{0};
  double bandwidth = 1;  // payload over what is sent
  bool nvls = false;     // in-network reduction uses it
};

// One algorithm of the library with one protocol between nodes, where a network was measured
// (calibration/nccl/fit_efa.py): a row of the cluster file's `collectives.network`.
struct NetworkPath {
  std::string algorithm;
  std::string protocol;
  Seconds hop{0};  // of a message from node to node, instead of the link's and the protocol's
  double efficiency = 1;  // of a NIC's line rate
  // Chunks of a ring that are on their way between two nodes at a time; 0: any number. A step of
  // the ring moves a chunk, so where ranks of a node pass on more chunks than that in a hop's time,
  // they wait for the network to be done with earlier ones. NCCL has eight buffers for a connection
  // (NCCL_STEPS); Simple fills four with a chunk, of which it passes on either half (a slice) as
  // soon as it is there, LL and LL128 one.
  int in_flight = 0;
};

// How a collective library does on one kind of machine: configs/clusters/tuning/*.yaml.
// `link` is what it was measured on; on a cluster with other links, bandwidths scale with the
// link's and latencies shift by the difference of a hop's.
struct TuningTable {
  std::string name;
  std::string source;
  Link link;
  std::array<std::vector<MeasuredCurve>, kCollectiveOps> curves;  // by rising ranks
  std::vector<Protocol> protocols;
  BytesPerSecond channel_bandwidth{0};  // what one channel carries, where it is known
  // Of the link, what several communicators reach together; 0: what the best of them does alone.
  double shared_efficiency = 0;
  double nvls_efficiency = 0.6;      // of the link, for large buffers reduced in the network
  std::vector<NetworkPath> network;  // empty: the protocols over the stated links
  // Of a ring over the network: latency and transfer hide each other,
  // (latency^overlap + transfer^overlap)^(1/overlap); 1 adds them.
  double network_overlap = 1;

  // In-node cost on `ranks`. Between measured numbers of ranks it is interpolated at the same wire
  // bytes; past the last, every further rank adds what one adds to the smallest messages, or, where
  // only one number was measured, a hop. Curves measured with NVLS count only where `nvls`, at
  // their own number. Empty when not measured.
  std::optional<Cost> measured(CollectiveOp op, double bytes, int ranks, bool nvls) const;
  bool has(CollectiveOp op) const { return !curves[static_cast<std::size_t>(op)].empty(); }
  // Whether measured() of these ranks would extrapolate.
  bool beyond(CollectiveOp op, int ranks, bool nvls) const;
  // What measured() of these ranks rests on, in words.
  std::string basis(CollectiveOp op, int ranks, bool nvls) const;
  // True when that many ranks were measured with NVLS.
  bool uses_nvls(CollectiveOp op, int ranks, bool nvls) const;
  // Bus bandwidth of very large messages; the link's when not measured.
  BytesPerSecond asymptotic(CollectiveOp op, int ranks) const;
};

// Reads a tuning tree; throws UserError with all mistakes.
TuningTable read_tuning(const Value& tree);
// What a cluster's `collectives.tuning` says: a name of configs/clusters/tuning, a path, an inline
// mapping. A null field means the table of `gpu` or of its nearest relative; `none` means no table.
std::shared_ptr<const TuningTable> resolve_tuning(const Value& field, const std::string& gpu);
// `table` with what a cluster's `collectives.network` says of its network; null where that is null.
std::shared_ptr<const TuningTable> with_network(std::shared_ptr<const TuningTable> table,
                                                const Value& field);
// `table` with those protocols alone that a cluster's `collectives.protocols` lists (NCCL_PROTO);
// all of them where that is null.
std::shared_ptr<const TuningTable> with_protocols(std::shared_ptr<const TuningTable> table,
                                                  const Value& field);
std::vector<std::string> tuning_names();

}  // namespace rehearse
