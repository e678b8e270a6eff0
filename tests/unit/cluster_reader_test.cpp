#include <catch2/catch.hpp>
#include <limits>
#include <string>

#include "hardware/cluster.hpp"
#include "hardware/collectives/tuning.hpp"
#include "sim/config/catalog.hpp"

namespace rehearse {
namespace {

Cluster read(const std::string& text) { return read_cluster(parse_text(text, "cluster.yaml")); }

std::string mistakes(const std::string& text) {
  try {
    read(text);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

constexpr const char* kTwoNodes = R"(gpu: h100-sxm
gpus_per_node: 8
nodes: 2
intra_node: {type: nvswitch, bandwidth: 450 GB/s, latency: 1 us}
inter_node: {type: infiniband, nics_per_node: 4, bandwidth: 400 Gb/s, latency: 3 us,
             topology: fat-tree, oversubscription: 2}
host: {speed: 1.5, launch_latency: 4 us}
collectives: {algorithm: ring, nvls: true, communicator_memory: 100 MiB}
price_per_gpu_hour: 2.5
)";

TEST_CASE("a cluster's fields are read in SI units") {
  const Cluster c = read(kTwoNodes);
  CHECK(c.gpu.name == "h100-sxm");
  CHECK(c.gpus() == 16);
  CHECK(c.intra_node.bandwidth == BytesPerSecond(450e9));
  CHECK(c.inter_node.bandwidth == BytesPerSecond(50e9));  // 400 Gb/s are bits
  CHECK(c.inter_node.latency.value == Approx(3e-6));
  CHECK(c.nics_per_node == 4);
  CHECK(c.topology == "fat-tree");
  CHECK(c.oversubscription == 2);
  CHECK(c.host.speed == 1.5);
  CHECK(c.collectives.algorithm == "ring");
  CHECK(c.collectives.nvls);
  CHECK(c.communicator_memory == Bytes(100 << 20));
  CHECK(c.price_per_gpu_hour == 2.5);
}

TEST_CASE("infinite bandwidth and no latency are allowed") {
  const Cluster c = read("gpu: h100-sxm\ngpus_per_node: 2\nintra_node: {bandwidth: inf}\n");
  CHECK(c.intra_node.bandwidth.value == std::numeric_limits<double>::infinity());
  CHECK(c.intra_node.latency == Seconds(0));
  CHECK(
      price_collective(idealised(c), CollectiveOp::kAllReduce, Bytes(1 << 20), {2, 1, 2, 1}).time ==
      Seconds(0));
}

TEST_CASE("several nodes need a network") {
  const std::string text =
      mistakes("gpu: h100-sxm\ngpus_per_node: 2\nnodes: 2\nintra_node: {bandwidth: 1 GB/s}\n");
  CHECK_THAT(text, Catch::Contains("missing 'inter_node'"));
}

TEST_CASE("several GPUs in a node need links") {
  CHECK_THAT(mistakes("gpu: h100-sxm\ngpus_per_node: 2\n"),
             Catch::Contains("missing 'intra_node'"));
}

TEST_CASE("a link without bandwidth is reported at the link") {
  CHECK_THAT(mistakes("gpu: h100-sxm\ngpus_per_node: 2\nintra_node: {latency: 1 us}\n"),
             Catch::Contains("cluster.yaml:3:") && Catch::Contains("bandwidth"));
}

TEST_CASE("all mistakes of a cluster are reported at once") {
  const std::string text = mistakes(R"(gpu: h100-sxn
gpus_per_node: 0
intra_node: {type: nvswich, bandwidth: 900}
inter_node: {bandwidth: 1 GB/s, oversubscription: 0.5, topology: fattree}
collectives: {algorithm: rink, tuning: h200-sxn}
host: {speed: 0}
nods: 2
)");
  for (const char* part : {"h100-sxm", "gpus_per_node", "nvswitch", "900", "oversubscription",
                           "fat-tree", "'ring'", "h200-sxm", "speed", "did you mean 'nodes'"}) {
    CHECK_THAT(text, Catch::Contains(part));
  }
}

TEST_CASE("a torus needs dimensions that hold its nodes") {
  const std::string start =
      "gpu: h100-sxm\nnodes: 6\ninter_node: {bandwidth: 50 GB/s, topology: torus, ";
  CHECK_THAT(mistakes(start + "dimensions: [2, 2]}\n"), Catch::Contains("product"));
  CHECK(read(start + "dimensions: [2, 3]}\n").torus == std::vector<int>{2, 3});
}

TEST_CASE("the tuning is the GPU's own unless another is named") {
  CHECK(read("gpu: h200-sxm\n").collectives.table->name == "h200-sxm");
  CHECK(read("gpu: h200-sxm\ncollectives: {tuning: a100-sxm}\n").collectives.table->name ==
        "a100-sxm");
  CHECK(read("gpu: a100-sxm-40gb\n").collectives.table->name == "a100-sxm");
  CHECK(read("gpu: v100-sxm\n").collectives.table->name == "v100-sxm");
  CHECK(read("gpu: h200-sxm\ncollectives: {tuning: none}\n").collectives.table == nullptr);
}

TEST_CASE("an idealised cluster keeps its links and loses its host") {
  const Cluster c = idealised(read(kTwoNodes));
  CHECK(c.collectives.ideal);
  CHECK(c.gpu.ideal);
  CHECK(c.intra_node.latency.value == Approx(1e-6));
  CHECK(c.host.launch_latency == Seconds(0));
  CHECK(1 / c.host.speed == 0);
}

TEST_CASE("every shipped cluster reads") {
  const std::vector<std::string> names = catalog_names("clusters");
  CHECK(names.size() >= 11);
  for (const std::string& name : names) {
    INFO(name);
    const Cluster c = read_cluster(resolve("clusters", Value::scalar(name)));
    CHECK(c.name == name);
    CHECK(c.gpus() >= 1);
    CHECK((c.gpus_per_node == 1 || c.collectives.table != nullptr));
  }
}

TEST_CASE("every shipped tuning reads and says how well it fits") {
  for (const std::string& name : tuning_names()) {
    INFO(name);
    const auto table = resolve_tuning(Value::scalar(name), "");
    CHECK_FALSE(table->source.empty());
    // Curves of one node, or at least what the protocols cost.
    CHECK((table->has(CollectiveOp::kAllReduce) || name == "v100-sxm"));
    CHECK(table->protocols.size() >= 2);
  }
}

}  // namespace
}  // namespace rehearse
