#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <string>

#include "hardware/collectives/tuning.hpp"
#include "sim/base/error.hpp"
#include "sim/config/catalog.hpp"
#include "tests/unit/collective_clusters.hpp"

namespace rehearse {
namespace {

using namespace testing;

constexpr const char* kTuning = R"(link: {bandwidth: 1000 GB/s, latency: 1 us}
protocols:
  - {name: ll, base: 5 us, bandwidth: 0.25}
  - {name: simple, base: 5 us, intra_hop: 2 us, inter_hop: 10 us, nvls: true}
)";

// NICs of 20 GB/s; NVLink never in the way.
Cluster over(const std::string& network, int nodes, int gpus) {
  Cluster c = ideal_cluster(nodes, gpus, link(1000e9, 1e-6), link(20e9, 25e-6));
  c.collectives.ideal = false;
  c.collectives.table =
      with_network(std::make_shared<const TuningTable>(read_tuning(parse_text(kTuning, "t.yaml"))),
                   network.empty() ? Value() : parse_text(network, "network.yaml"));
  return c;
}

constexpr const char* kRing =
    "paths: [{algorithm: ring, protocol: simple, hop: 80 us, efficiency: 0.7}]";

TEST_CASE("over a fitted network a ring's message passes every boundary of the nodes") {
  const Cluster c = over(kRing, 2, 4);
  const CommGroup all{8, 2, 4, 1};
  // Seven steps, two of them between the two nodes; four NICs of 14 GB/s.
  const double once = 2 * 80e-6 + 5 * 3e-6;
  const double share = 7.0 / 8 * 1e9 / 56e9;
  CHECK(seconds(c, CollectiveOp::kAllGather, 1'000'000'000, all) == Approx(5e-6 + once + share));
  CHECK(seconds(c, CollectiveOp::kReduceScatter, 1'000'000'000, all) ==
        Approx(5e-6 + once + share));
  CHECK(seconds(c, CollectiveOp::kAllReduce, 1'000'000'000, all) ==
        Approx(5e-6 + 2 * (once + share)));
  // One rank a node: the first has nobody to send to it.
  CHECK(seconds(c, CollectiveOp::kAllGather, 1000, {2, 2, 1, 1}) ==
        Approx(5e-6 + 80e-6 + 500 / 14e9));
}

TEST_CASE("a ring's latency and transfer hide each other as far as the network's overlap says") {
  const Cluster c = over(fmt::format("overlap: 2\n{}", kRing), 2, 4);
  const CommGroup all{8, 2, 4, 1};
  const double latency = 5e-6 + 2 * 80e-6 + 5 * 3e-6;
  const double transfer = 7.0 / 8 * 16e6 / 56e9;
  const CollectivePrice p = price_collective(c, CollectiveOp::kAllGather, Bytes(16'000'000), all);
  CHECK(p.time.value == Approx(std::hypot(latency, transfer)));
  CHECK(p.bandwidth_part.value == Approx(transfer));
}

TEST_CASE("a ring waits for chunks on their way between nodes, so many at a time") {
  const Cluster c = over(
      "paths: [{algorithm: ring, protocol: simple, hop: 80 us, efficiency: 0.7, in_flight: 2}]", 2,
      4);
  const CommGroup all{8, 2, 4, 1};
  // A chunk takes a hop and three halves of its transfer, and two are on their way.
  const auto share = [](double bytes) { return 7.0 / 8 * bytes / 56e9; };
  const auto waiting = [&](double bytes) { return (7 * 80e-6 + 1.5 * share(bytes)) / 2; };
  CHECK(seconds(c, CollectiveOp::kAllGather, 16'000'000, all) == Approx(waiting(16e6)));
  CHECK(seconds(c, CollectiveOp::kAllReduce, 16'000'000, all) == Approx(2 * waiting(16e6)));
  // Large chunks fill the links; where every rank has its own node, each waits for the hop itself.
  CHECK(seconds(c, CollectiveOp::kAllGather, 1'000'000'000, all) ==
        Approx(5e-6 + 2 * 80e-6 + 5 * 3e-6 + share(1e9)));
  CHECK(seconds(c, CollectiveOp::kAllGather, 1000, {4, 4, 1, 1}) ==
        Approx(5e-6 + 3 * 80e-6 + 750 / 14e9));
}

TEST_CASE("a cluster may allow some of the library's protocols alone") {
  Cluster c = ideal_cluster(2, 4, link(1000e9, 1e-6), link(20e9, 25e-6));
  c.collectives.ideal = false;
  const auto table =
      std::make_shared<const TuningTable>(read_tuning(parse_text(kTuning, "t.yaml")));
  const auto network = parse_text(
      "paths: [{algorithm: ring, protocol: ll, hop: 10 us, efficiency: 0.5},"
      " {algorithm: ring, protocol: simple, hop: 80 us, efficiency: 0.5}]",
      "network.yaml");
  const auto takes = [&](const std::string& protocols) {
    c.collectives.table =
        with_protocols(with_network(table, network), parse_text(protocols, "cluster.yaml"));
    return seconds(c, CollectiveOp::kAllGather, 1000, {8, 2, 4, 1});
  };
  CHECK(takes("[simple]") > takes("[ll]"));
  CHECK(takes("[ll, simple]") == takes("[ll]"));
  CHECK(with_protocols(table, Value()) == table);
  CHECK_THROWS_WITH(with_protocols(table, parse_text("[simpel]", "cluster.yaml")),
                    Catch::Contains("did you mean 'simple'"));
  CHECK_THROWS_WITH(with_protocols(table, parse_text("[]", "cluster.yaml")),
                    Catch::Contains("at least one protocol"));
}

TEST_CASE("two nodes of a double binary tree send a buffer once") {
  const char* tree =
      "paths: [{algorithm: tree, protocol: simple, hop: 60 us, efficiency: 0.5},"
      " {algorithm: nvls, protocol: simple, hop: 100 us, efficiency: 0.5}]";
  Cluster c = over(tree, 4, 4);
  const double rate = 40e9;  // four NICs, half of each
  const auto takes = [&](int nodes) {
    return seconds(c, CollectiveOp::kAllReduce, 1'000'000'000, {4 * nodes, nodes, 4, 1});
  };
  CHECK(takes(2) == Approx(5e-6 + 2 * (3 * 3e-6 + 60e-6) + 1e9 / rate));
  CHECK(takes(4) == Approx(5e-6 + 2 * (3 * 3e-6 + 2 * 60e-6) + 2e9 / rate));
  c.collectives.algorithm = "nvls";
  c.collectives.nvls = true;
  CHECK(takes(2) == Approx(5e-6 + 4 * 3e-6 + 2 * 100e-6 + 1e9 / rate));
  CHECK(takes(4) == Approx(5e-6 + 4 * 3e-6 + 4 * 100e-6 + 2e9 / rate));
}

TEST_CASE("what a network says nothing of is priced without it") {
  const Cluster with = over(kRing, 2, 4);
  const Cluster without = over("", 2, 4);
  const CommGroup all{8, 2, 4, 1};
  for (const CollectiveOp op :
       {CollectiveOp::kBroadcast, CollectiveOp::kAllToAll, CollectiveOp::kSendRecv})
    CHECK(seconds(with, op, 1'000'000, all) == seconds(without, op, 1'000'000, all));
  CHECK(seconds_by(with, "tree", 0, CollectiveOp::kAllReduce, 1'000'000, all) ==
        seconds_by(without, "tree", 0, CollectiveOp::kAllReduce, 1'000'000, all));
  CHECK(seconds(with, CollectiveOp::kAllReduce, 1'000'000, one_node(4)) ==
        seconds(without, CollectiveOp::kAllReduce, 1'000'000, one_node(4)));
}

TEST_CASE("mistakes of a network are reported at once") {
  try {
    over("overlap: 0.5\npaths: [{algorithm: rng, protocol: simple, hop: 1 us, efficiency: 2}]", 2,
         4);
    FAIL("nothing thrown");
  } catch (const UserError& e) {
    CHECK_THAT(e.what(), Catch::Contains("did you mean 'ring'") && Catch::Contains("line rate") &&
                             Catch::Contains("at least 1") && Catch::Contains("network.yaml:2"));
  }
}

}  // namespace
}  // namespace rehearse
