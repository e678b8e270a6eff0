// O9: all_to_all by pairwise exchange. A rank's buffer S is n parts, one for each rank, its own
// included; it sends n-1 of them, one a step, while it receives as many: (n-1) a + (n-1)/n S/B.
//
// Texts that write V(n-1)/(n^2 B) mean by V the global array, n times a rank's buffer.
//
// Across k nodes of r GPUs r-1 partners are inside the node and n-r outside, and NVLink and NIC
// work at the same time: latency (r-1) a_in + (n-r) a_out, bandwidth the slower of the two.
//
// send_recv: each rank sends S to the next: a + S/B.

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/unit/collective_clusters.hpp"

namespace rehearse {
namespace {

using namespace testing;

TEST_CASE("O9 all_to_all in one node") {
  for (const int n : {2, 4, 8, 64}) {
    const Cluster c = ideal_cluster(1, n, link(450e9, 1e-6));
    const double expected = (n - 1) * 1e-6 + (n - 1.0) / n * 64e6 / 450e9;
    CHECK(seconds(c, CollectiveOp::kAllToAll, 64'000'000, one_node(n)) ==
          Approx(expected).epsilon(1e-12));
    const double global = 64e6 * n;
    CHECK(expected - (n - 1) * 1e-6 ==
          Approx(global * (n - 1) / (static_cast<double>(n) * n * 450e9)).epsilon(1e-12));
  }
}

TEST_CASE("O9 all_to_all across nodes") {
  const Cluster c = ideal_cluster(4, 8, link(450e9, 1e-6), link(50e9, 3e-6));
  const double outside = 24.0 / 32 * 64e6 / 50e9;
  const double inside = 7.0 / 32 * 64e6 / 450e9;
  CHECK(seconds(c, CollectiveOp::kAllToAll, 64'000'000, {32, 4, 8, 1}) ==
        Approx(7 * 1e-6 + 24 * 3e-6 + std::max(inside, outside)).epsilon(1e-12));
}

TEST_CASE("O9 a torus carries an all_to_all message over several links") {
  // A ring of four nodes: distances 1, 2, 1 to the others, 4/3 on average.
  Cluster c = ideal_cluster(4, 1, link(450e9, 0), link(50e9, 0), 2);
  const CommGroup all{4, 4, 1, 1};
  const double switched = seconds(c, CollectiveOp::kAllToAll, 64'000'000, all);
  c.topology = "torus";
  c.torus = {4};
  CHECK(seconds(c, CollectiveOp::kAllToAll, 64'000'000, all) ==
        Approx(4.0 / 3 * switched).epsilon(1e-12));
}

TEST_CASE("send_recv takes a + S/B of its slowest link") {
  const Cluster c = ideal_cluster(2, 8, link(450e9, 1e-6), link(50e9, 3e-6));
  CHECK(seconds(c, CollectiveOp::kSendRecv, 1'000'000, one_node(4)) ==
        Approx(1e-6 + 1e6 / 450e9).epsilon(1e-12));
  CHECK(seconds(c, CollectiveOp::kSendRecv, 1'000'000, {2, 2, 1, 1}) ==
        Approx(3e-6 + 1e6 / 50e9).epsilon(1e-12));
  CHECK(point_to_point_time(c, 3, 4, Bytes(1'000'000)).value ==
        Approx(1e-6 + 1e6 / 450e9).epsilon(1e-12));
  CHECK(point_to_point_time(c, 7, 8, Bytes(1'000'000)).value ==
        Approx(3e-6 + 1e6 / 50e9).epsilon(1e-12));
}

}  // namespace
}  // namespace rehearse
