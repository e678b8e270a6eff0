#include "hardware/topology.hpp"

#include <catch2/catch.hpp>

#include "sim/config/catalog.hpp"

namespace rehearse {
namespace {

Cluster read(const std::string& text) { return read_cluster(parse_text(text, "cluster.yaml")); }

std::string fabric(const std::string& more) {
  return "{gpu: h100-sxm, nodes: 8, gpus_per_node: 8, intra_node: {type: nvswitch, bandwidth: 450 "
         "GB/s, latency: 1 us}, inter_node: {type: infiniband, bandwidth: 50 GB/s, latency: 3 us, "
         "switch_latency: 0.5 us, " +
         more + "}, collectives: {ideal: true}}";
}

double message(const Cluster& c, int to, std::int64_t bytes) {
  return point_to_point_time(c, 0, to, Bytes(bytes)).value;
}

TEST_CASE("a message to another rail first goes to the neighbour that has it") {
  const Cluster c = read(fabric("topology: rail-optimized"));
  CHECK(route(c, 0, 8).text() == "NIC > fabric > NIC");
  CHECK(route(c, 0, 9).text() == "NVLink > NVSwitch, NVLink > NIC > fabric > NIC");
  CHECK(route(c, 0, 9).latency.value == Approx(4e-6));
}

// Below one leaf the full NIC; beyond it a quarter, and two more switches.
TEST_CASE("oversubscription touches what leaves a leaf switch") {
  const Cluster c = read(fabric("topology: fat-tree, oversubscription: 4, nodes_per_leaf: 4"));
  CHECK(message(c, 8, 1 << 30) == Approx(3e-6 + (1 << 30) / 50e9));
  CHECK(message(c, 32, 1 << 30) == Approx(4e-6 + (1 << 30) / 12.5e9));
  CHECK(route(c, 0, 32).bandwidth().value == Approx(12.5e9));
  CHECK(route_classes(c).size() == 3);
}

TEST_CASE("without GPU-direct a message crosses the host's path twice") {
  const Cluster c = read(fabric("gpu_direct: false, host_bandwidth: 32 GB/s"));
  CHECK(message(c, 8, 1 << 30) == Approx(3e-6 + (1 << 30) / 16e9));
  CHECK(route(c, 0, 8).bandwidth().value == Approx(16e9));
}

TEST_CASE("nodes of a torus are as far as the shorter way round") {
  Cluster c = read(
      "{gpu: h100-sxm, nodes: 16, gpus_per_node: 1, inter_node: {type: infiniband, bandwidth: 50 "
      "GB/s, latency: 3 us, switch_latency: 1 us, topology: torus, dimensions: [4, 4]}}");
  CHECK(route(c, 0, 1).latency.value == Approx(3e-6));
  CHECK(route(c, 0, 3).latency.value == Approx(3e-6));
  CHECK(route(c, 0, 10).latency.value == Approx(6e-6));  // two along each dimension
}

TEST_CASE("a hybrid cube mesh gives a group the NVLinks between its members") {
  const Cluster c = read_cluster(resolve("clusters", Value::scalar("dgx-1v")));
  const std::vector<int> all{0, 1, 2, 3, 4, 5, 6, 7}, quad{0, 1, 2, 3}, pair{0, 3}, thin{0, 1};
  CHECK(topology_share(c, all, false) == Approx(1));
  CHECK(topology_share(c, quad, false) == Approx(4.0 / 6));
  CHECK(topology_share(c, pair, false) == Approx(2.0 / 6));
  CHECK(topology_share(c, thin, false) == Approx(1.0 / 6));
  CHECK(route(c, 0, 3).bandwidth().value == Approx(50e9));
  CHECK(route(c, 0, 7).links.size() == 2);
}

TEST_CASE("a group on both sockets has the bandwidth of the link between them") {
  const Cluster c = read(
      "{gpu: l40s, gpus_per_node: 8, intra_node: {type: pcie, bandwidth: 32 GB/s, "
      "gpus_per_switch: 2, gpus_per_socket: 4, socket_bandwidth: 16 GB/s}}");
  const std::vector<int> near{0, 1, 2, 3}, far{0, 4};
  CHECK(topology_share(c, near, false) == 1);
  CHECK(topology_share(c, far, false) == Approx(0.5));
  // Each of four such groups, {0, 4} to {3, 7}, has a quarter of it.
  CHECK(topology_share(c, far, true) == Approx(0.125));
  CHECK(route(c, 0, 1).text() == "PCIe > PCIe");
  CHECK(route(c, 0, 4).text() == "PCIe > root complex > socket link > PCIe");
}

TEST_CASE("groups that share PCIe bridges have a part of them each") {
  const Cluster c = read(
      "{gpu: l40s, gpus_per_node: 8, intra_node: {type: pcie, bandwidth: 32 GB/s, "
      "gpus_per_switch: 4}}");
  const std::vector<int> near{0, 1}, far{0, 4}, both{0, 1, 4, 5}, all{0, 1, 2, 3, 4, 5, 6, 7};
  CHECK(topology_share(c, near, true) == 1);
  CHECK(topology_share(c, far, false) == 1);
  CHECK(topology_share(c, far, true) == Approx(0.25));  // four GPUs a switch, each in a group
  CHECK(topology_share(c, both, true) == Approx(0.5));
  CHECK(topology_share(c, all, true) == 1);  // one ring crosses each bridge once
  CHECK(below_one_switch(c, near) == 0);
  CHECK(below_one_switch(c, both) == 2);
  // All-gather of 32 MB in one ring of two: 16 MB over a quarter of the bridge.
  CHECK(price_collective(c, CollectiveOp::kAllGather, Bytes(32'000'000), comm_group(c, far))
            .bandwidth_part.value >
        3.9 * price_collective(c, CollectiveOp::kAllGather, Bytes(32'000'000), comm_group(c, near))
                  .bandwidth_part.value);
}

TEST_CASE("every shipped cluster is drawn, whatever its size") {
  for (const std::string& name : catalog_names("clusters")) {
    Cluster c = read_cluster(resolve("clusters", Value::scalar(name)));
    INFO(name);
    CHECK_THAT(topology_dot(c), Catch::StartsWith("graph \"" + name) && Catch::EndsWith("}\n"));
    if (c.nics_per_node == 0) continue;
    c.nodes = 64;
    CHECK(topology_dot(c).size() < 3000);  // alike nodes are drawn once
  }
}

TEST_CASE("a layout of other links than the cluster's is refused") {
  CHECK_THROWS_WITH(
      read("{gpu: h100-sxm, gpus_per_node: 2, intra_node: {type: nvswitch, bandwidth: "
           "1 GB/s, mesh: [[0, 1, 2]]}}"),
      Catch::Contains("'mesh' is of links of type nvlink"));
  CHECK_THROWS_WITH(
      read("{gpu: v100-sxm, gpus_per_node: 2, intra_node: {type: nvlink, bandwidth: 1 "
           "GB/s, mesh: [[0, 2, 2]]}}"),
      Catch::Contains("a node's 2 GPUs"));
  CHECK_THROWS_WITH(read(fabric("gpu_direct: false")), Catch::Contains("'host_bandwidth' says"));
}

}  // namespace
}  // namespace rehearse
