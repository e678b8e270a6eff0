#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/gpu.hpp"
#include "sim/config/value.hpp"

namespace rehearse {

enum class CollectiveOp : std::uint8_t {
  kAllReduce,
  kAllGather,
  kReduceScatter,
  kBroadcast,
  kAllToAll,
  kSendRecv
};
inline constexpr std::size_t kCollectiveOps = 6;
std::string_view to_string(CollectiveOp op);  // "all_reduce", ...

// A tier of the network: GPUs inside a node, or nodes.
struct Link {
  std::string type;             // nvswitch | nvlink | pcie | infiniband | ethernet
  BytesPerSecond bandwidth{0};  // per GPU inside a node, per NIC between nodes; one direction
  Seconds latency{0};           // a message's first byte, one hop
};

// Inside a node, where GPUs are not all alike to each other.
struct MeshLink {
  int a = 0, b = 0;  // GPUs of a node
  int links = 1;     // NVLinks between them
};
struct NodeLinks {
  std::vector<MeshLink> mesh;          // of type nvlink; empty: every pair has the stated bandwidth
  int gpus_per_switch = 0;             // of type pcie; 0: all under one switch
  int gpus_per_socket = 0;             // 0: one socket
  BytesPerSecond socket_bandwidth{0};  // between sockets, one direction; 0: not the bottleneck
};

struct TuningTable;  // what was measured of a collective library (hardware/collectives/tuning.hpp)

// How NCCL (or whatever library) does on these links, measured: see hardware/collectives. With
// `ideal` a collective costs its closed form on the links' own latency and bandwidth.
struct CollectiveTuning {
  std::string algorithm =
      "auto";  // auto | ring | tree | hierarchical | ...: a name of the registry
  bool ideal = false;
  bool nvls = false;  // the NVSwitches reduce in the network (NVLink SHARP)
  // Pieces of a pipelined chain or tree: 1 is the naive algorithm, 0 the best number.
  std::int64_t chunks = 0;
  // Channels, each a block of a kernel on a multiprocessor, that a collective may have at most
  // (NCCL_MAX_NCHANNELS); 0: as many as the library takes.
  int channels = 0;
  double inter_node_efficiency = 0.9;        // of a NIC's line rate, after headers and protocol
  std::shared_ptr<const TuningTable> table;  // null: closed forms on the stated links
};

// The host that drives the GPUs: a thread that issues operators.
struct Host {
  double speed = 1;           // relative to the host that the runtime's costs were measured on
  Seconds launch_latency{0};  // from issue to the kernel's start on an idle GPU
  Seconds round_trip{0};      // a small message by TCP to another node's host and back
};

// Of the stated bandwidths, what is left where links are slow or lost.
struct LinkShare {
  double intra_node = 1, inter_node = 1;
  bool operator==(const LinkShare&) const = default;
};
LinkShare slower(const LinkShare& a, const LinkShare& b);

// GPUs that are not like the cluster's others, by global rank, both ends included: a slow GPU, a
// slow or lost link, another type of GPU.
struct Deviation {
  int first = 0, last = 0;
  int gpu_type = 0;  // of Cluster::gpu_of_type
  double speed = 1;  // of everything that they compute
  LinkShare links;   // inter_node: of the whole node's NICs
};

// GPUs, the links between them, and the library that communicates over them. Nodes are alike but
// for `deviations`, and rank r is on node r / gpus_per_node.
struct Cluster {
  std::string name;
  Gpu gpu;
  std::vector<Gpu> other_gpus;        // types that deviations name
  std::vector<Deviation> deviations;  // each on top of those before it
  int gpus_per_node = 1;
  int nodes = 1;
  Link intra_node;
  NodeLinks node_links;
  Link inter_node;
  int nics_per_node = 0;
  std::string topology;              // of inter_node: rail-optimized | fat-tree | torus
  std::vector<int> torus;            // nodes along each dimension; only for a torus
  double oversubscription = 1;       // of inter_node: NIC bandwidth over what the fabric carries
  int nodes_per_leaf = 0;            // nodes below one leaf switch; 0: not stated
  Seconds switch_latency{0};         // of every switch beyond the nearest
  bool gpu_direct = true;            // NICs read and write GPU memory; else they do the host's
  BytesPerSecond host_bandwidth{0};  // of a NIC's PCIe path to the host's memory, one direction
  CollectiveTuning collectives;
  Bytes communicator_memory{0};   // device memory that the library holds for each communicator
  double price_per_gpu_hour = 0;  // in the user's currency; 0 when not given
  double pue = 1;                 // energy of the data centre over that of the GPUs
  Host host;

  int gpus() const { return gpus_per_node * nodes; }
  // Type 0 is `gpu`, the others are other_gpus.
  const Gpu& gpu_of_type(int type) const {
    return type == 0 ? gpu : other_gpus[static_cast<std::size_t>(type) - 1];
  }
};

// All deviations of one GPU together: the last type that one of them names, the product of all
// speeds and of all shares.
struct GpuState {
  int gpu_type = 0;
  double speed = 1;
  LinkShare links;
  bool operator==(const GpuState&) const = default;
};
GpuState gpu_state(const Cluster& cluster, int rank);

// Reads a resolved cluster tree, its GPU included. Throws UserError with all mistakes.
Cluster read_cluster(const Value& tree);
// Efficiency 1, no fixed cost, no host (an infinitely fast one); links keep their stated latency
// and bandwidth.
Cluster idealised(const Cluster& cluster);

// Ranks that communicate, reduced to what prices need.
struct CommGroup {
  int ranks = 1;
  int nodes = 1;           // nodes they are on
  int ranks_per_node = 1;  // the most on one node
  // Groups of the same kind that one node takes part in at the same time, this one included: they
  // share the node's NICs evenly.
  int concurrent_per_node = 1;
  LinkShare links{};            // of its slowest member
  double inside = 1;            // of the bandwidth inside a node, what the topology leaves
  int below_switch = 0;         // members below one PCIe switch, of a group that is below several
  int below_socket = 0;         // the same of sockets
  int least_per_node = 0;       // the fewest on one node; 0: as many as the most
  bool below_one_leaf = false;  // oversubscription does not touch it
  bool operator==(const CommGroup&) const = default;
};
// The group of `members` (global ranks; rank r is on node r / gpus_per_node). All GPUs of a node
// are taken to be in groups of the same kind: gpus_per_node / ranks_per_node groups a node.
CommGroup comm_group(const Cluster& cluster, std::span<const int> members);

struct CollectivePrice {
  Seconds time;
  std::string algorithm;
  Bytes payload;              // the full buffer, as `price` takes it
  Bytes wire_bytes_per_rank;  // sent by each rank
  Seconds latency_part;       // latency_part + bandwidth_part = time
  Seconds bandwidth_part;
  double inside_bytes;   // of each rank, to others of its node
  double outside_bytes;  // of each rank, over its NIC
  std::string basis;     // what it rests on: "measured on 8 ranks", ...
};

// `bytes` is the full buffer: all_reduce and reduce_scatter each rank's input, all_gather its
// output, all_to_all and broadcast each rank's buffer; in send_recv every rank sends `bytes`.
// A group of one, or no bytes, costs nothing.
CollectivePrice price_collective(const Cluster& cluster, CollectiveOp op, Bytes bytes,
                                 const CommGroup& group);
// One message between two ranks, nothing else on the link. `links`: of the slower end.
Seconds point_to_point_time(const Cluster& cluster, int from_rank, int to_rank, Bytes bytes,
                            const LinkShare& links = {});

// Bus bandwidth as nccl-tests defines it: algorithm bandwidth (bytes / time) times 2(n-1)/n for
// all_reduce, (n-1)/n for all_gather, reduce_scatter and all_to_all, 1 for broadcast and send_recv.
BytesPerSecond bus_bandwidth(CollectiveOp op, Bytes bytes, int ranks, Seconds time);

}  // namespace rehearse
