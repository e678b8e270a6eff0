// O6: a ring's all_reduce takes 2(n-1) a + 2(n-1)/n S/B: a reduce_scatter, then an all_gather (O5).
// It is exact in the limit of large S that S/B per direction bounds it from below by 2(n-1)/n S/B,
// since every rank must send that much (Patarasuk and Yuan, 2009).
//
// O10, O11 for the other algorithms: a tree 2 log2 n (a + S/B) in one piece; recursive halving and
// doubling 2 log2 n a + 2(n-1)/n S/B; in the switch S/B plus two hops.

#include <catch2/catch.hpp>

#include "tests/unit/collective_clusters.hpp"

namespace rehearse {
namespace {

using namespace testing;

TEST_CASE("O6 ring all_reduce") {
  for (const int n : {2, 3, 4, 8, 16}) {
    const Cluster c = ideal_cluster(1, n, link(300e9, 2e-6));
    const CollectivePrice p =
        price_collective(c, CollectiveOp::kAllReduce, Bytes(1 << 28), one_node(n));
    const double bandwidth_part = 2.0 * (n - 1) / n * (1 << 28) / 300e9;
    CHECK(p.latency_part.value == Approx(2e-6 * 2 * (n - 1)).epsilon(1e-12));
    CHECK(p.bandwidth_part.value == Approx(bandwidth_part).epsilon(1e-12));
    CHECK(p.time.value == Approx((p.latency_part + p.bandwidth_part).value).epsilon(1e-15));
  }
}

TEST_CASE("O6 all_reduce is reduce_scatter then all_gather") {
  const Cluster c = ideal_cluster(1, 6, link(300e9, 2e-6));
  const double parts = seconds(c, CollectiveOp::kReduceScatter, 1'000'000, one_node(6)) +
                       seconds(c, CollectiveOp::kAllGather, 1'000'000, one_node(6));
  CHECK(seconds(c, CollectiveOp::kAllReduce, 1'000'000, one_node(6)) ==
        Approx(parts).epsilon(1e-12));
}

TEST_CASE("O10 naive tree and recursive halving-doubling") {
  const Cluster c = ideal_cluster(1, 8, link(100e9, 1e-6));
  const double once = 1e7 / 100e9;
  CHECK(seconds_by(c, "tree", 1, CollectiveOp::kAllReduce, 10'000'000, one_node(8)) ==
        Approx(2 * 3 * (1e-6 + once)).epsilon(1e-12));
  CHECK(seconds_by(c, "recursive", 0, CollectiveOp::kAllReduce, 10'000'000, one_node(8)) ==
        Approx(2 * 3 * 1e-6 + 2 * 7.0 / 8 * once).epsilon(1e-12));
}

TEST_CASE("O11 a switch that reduces sends the buffer once") {
  Cluster c = ideal_cluster(1, 8, link(100e9, 1e-6));
  c.collectives.nvls = true;
  CHECK(seconds_by(c, "nvls", 0, CollectiveOp::kAllReduce, 10'000'000, one_node(8)) ==
        Approx(2e-6 + 1e7 / 100e9).epsilon(1e-12));
}

}  // namespace
}  // namespace rehearse
