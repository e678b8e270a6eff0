// O5: a ring's all_gather and reduce_scatter take (n-1) a + (n-1)/n S/B.
//
// The full buffer S is n parts of S/n. In each of n-1 steps every rank sends one part to its right
// neighbour and receives one from its left, all links at once: a + (S/n)/B a step. After n-1 steps
// every rank has seen all parts (all_gather), or one rank's part has gone through all ranks and
// been added to (reduce_scatter).

#include <catch2/catch.hpp>

#include "tests/unit/collective_clusters.hpp"

namespace rehearse {
namespace {

using namespace testing;

double step_by_step(int n, double bytes, double bandwidth, double latency) {
  double time = 0;
  for (int step = 1; step < n; ++step) time += latency + bytes / n / bandwidth;
  return time;
}

TEST_CASE("O5 ring all_gather and reduce_scatter") {
  const std::int64_t bytes = 1 << 26;
  for (const int n : {2, 3, 4, 7, 8, 72}) {
    const Cluster c = ideal_cluster(1, n, link(450e9, 1e-6));
    const double expected = step_by_step(n, static_cast<double>(bytes), 450e9, 1e-6);
    CHECK(seconds(c, CollectiveOp::kAllGather, bytes, one_node(n)) ==
          Approx(expected).epsilon(1e-12));
    CHECK(seconds(c, CollectiveOp::kReduceScatter, bytes, one_node(n)) ==
          Approx(expected).epsilon(1e-12));
  }
}

TEST_CASE("O5 wire bytes of a rank are (n-1)/n S") {
  const Cluster c = ideal_cluster(1, 8, link(450e9, 1e-6));
  const CollectivePrice p = price_collective(c, CollectiveOp::kAllGather, Bytes(8000), one_node(8));
  CHECK(p.wire_bytes_per_rank == Bytes(7000));
  CHECK(p.algorithm == "ring");
}

// Recursive doubling moves the same bytes in log2 n steps.
TEST_CASE("O10 recursive doubling takes log2 n latencies") {
  const Cluster c = ideal_cluster(1, 8, link(100e9, 1e-6));
  CHECK(seconds_by(c, "recursive", 0, CollectiveOp::kAllGather, 8'000'000, one_node(8)) ==
        Approx(3e-6 + 7.0 / 8 * 8e6 / 100e9).epsilon(1e-12));
}

}  // namespace
}  // namespace rehearse
