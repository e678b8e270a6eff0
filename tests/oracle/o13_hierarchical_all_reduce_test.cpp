// O13: all_reduce over k nodes of g GPUs, each with a NIC of its own, phases one after the other.
//
// Inside each node a reduce_scatter of S leaves every GPU with S/g of its node's sum; GPUs of equal
// place (a rail) all-reduce their S/g over the k nodes, all g rails at once, each over its own NIC;
// an all_gather inside puts S together:
//   (g-1) a_in + (g-1)/g S/B_in  +  2(k-1) a_out + 2(k-1)/k (S/g)/B_nic  +  the first term again.
//
// One flat ring through all n = kg GPUs crosses every node's boundary once, over one NIC:
//   2(n-1)/n S / min(B_in, B_nic), and 2(k-1) of its 2(n-1) hops are between nodes.
//
// All NICs of a node together carry nics x B_nic. Groups that communicate at once share them
// evenly.

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/unit/collective_clusters.hpp"

namespace rehearse {
namespace {

using namespace testing;

constexpr auto kOp = CollectiveOp::kAllReduce;

TEST_CASE("O13 hierarchical all_reduce") {
  const int g = 8;
  for (const int k : {2, 3, 16}) {
    const Cluster c = ideal_cluster(k, g, link(450e9, 1e-6), link(50e9, 5e-6));
    const double expected = 2 * (g - 1) * 1e-6 + 2 * (k - 1) * 5e-6 +
                            2.0 * (g - 1) / g * 1e9 / 450e9 + 2.0 * (k - 1) / k * 1e9 / (g * 50e9);
    CHECK(seconds_by(c, "hierarchical", 0, kOp, 1'000'000'000, {g * k, k, g, 1}) ==
          Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("O13 a flat ring is bound by one NIC, eight rails by eight") {
  // 14 GB on 8 x 8 GPUs, NVLink 300 GB/s, NICs of 25 GB/s: 1.103 s and 0.204 s.
  const Cluster c = ideal_cluster(8, 8, link(300e9, 0), link(25e9, 0));
  const CommGroup all{64, 8, 8, 1};
  CHECK(seconds_by(c, "ring", 0, kOp, 14'000'000'000, all) ==
        Approx(2.0 * 63 / 64 * 14 / 25).epsilon(1e-12));
  const double rails = 2.0 * 7 / 8 * 14 / 300 + 2.0 * 7 / 8 * 14 / (8 * 25);
  CHECK(seconds_by(c, "hierarchical", 0, kOp, 14'000'000'000, all) == Approx(rails).epsilon(1e-12));
  CHECK(seconds(c, kOp, 14'000'000'000, all) == Approx(rails).epsilon(1e-12));
}

TEST_CASE("O13 a flat ring's latency counts its hops of either kind") {
  const Cluster c = ideal_cluster(4, 2, link(300e9, 1e-6), link(25e9, 10e-6));
  Cluster flat = c;
  flat.collectives.algorithm = "ring";
  const CollectivePrice p = price_collective(flat, kOp, Bytes(1000), {8, 4, 2, 1});
  CHECK(p.latency_part.value == Approx(2 * (3 * 10e-6 + 4 * 1e-6)).epsilon(1e-12));
}

TEST_CASE("O13 one rank a node is a ring over the NICs") {
  const Cluster c = ideal_cluster(4, 8, link(450e9, 1e-6), link(50e9, 5e-6));
  const double ring = 2 * 3 * 5e-6 + 2.0 * 3 / 4 * 1e9 / 50e9;
  // Eight such groups share eight NICs: one each, as if alone.
  CHECK(seconds(c, kOp, 1'000'000'000, {4, 4, 1, 8}) == Approx(ring).epsilon(1e-12));
  CHECK(seconds(c, kOp, 1'000'000'000, {4, 4, 1, 1}) == Approx(ring).epsilon(1e-12));
}

TEST_CASE("O13 groups share NICs that are fewer than they") {
  const Cluster c = ideal_cluster(4, 8, link(450e9, 0), link(50e9, 0), 2);
  // Two NICs for eight groups: a quarter of a NIC each.
  CHECK(seconds(c, kOp, 1'000'000'000, {4, 4, 1, 8}) ==
        Approx(2.0 * 3 / 4 * 1e9 / 12.5e9).epsilon(1e-12));
}

TEST_CASE("O13 oversubscription divides what NICs carry") {
  Cluster c = ideal_cluster(4, 1, link(450e9, 0), link(50e9, 0));
  const double full = seconds(c, kOp, 1'000'000, {4, 4, 1, 1});
  c.oversubscription = 4;
  CHECK(seconds(c, kOp, 1'000'000, {4, 4, 1, 1}) == Approx(4 * full).epsilon(1e-12));
}

}  // namespace
}  // namespace rehearse
