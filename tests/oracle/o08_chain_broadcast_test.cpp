// O8: broadcast along a chain of n ranks.
//
// Naive: the whole buffer over n-1 hops, one after the other: (n-1)(a + S/B).
// In s pieces: the last piece leaves the root after s-1 rounds and then needs n-1 more, and a round
// takes a + S/(sB): (s+n-2)(a + S/(sB)). As a function of s this is (n-2)a + S/B + s a +
// (n-2) S/(sB), least where s^2 = (n-2) S/(aB); for a = 0 it falls to S/B as s grows.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/unit/collective_clusters.hpp"

namespace rehearse {
namespace {

using namespace testing;

constexpr double kBandwidth = 100e9;
constexpr double kLatency = 2e-6;
constexpr std::int64_t kBytes = 80'000'000;

double in_pieces(int n, double s) {
  return (s + n - 2) * (kLatency + static_cast<double>(kBytes) / (s * kBandwidth));
}

TEST_CASE("O8 naive chain") {
  const Cluster c = ideal_cluster(1, 5, link(kBandwidth, 0));
  CHECK(seconds_by(c, "ring", 1, CollectiveOp::kBroadcast, kBytes, one_node(5)) ==
        Approx(4 * 80e6 / kBandwidth).epsilon(1e-12));
}

TEST_CASE("O8 chain in a given number of pieces") {
  const Cluster c = ideal_cluster(1, 5, link(kBandwidth, kLatency));
  for (const int s : {1, 2, 7, 64}) {
    CHECK(seconds_by(c, "auto", s, CollectiveOp::kBroadcast, kBytes, one_node(5)) ==
          Approx(in_pieces(5, s)).epsilon(1e-12));
  }
}

TEST_CASE("O8 the number of pieces is the best one by default") {
  for (const int n : {2, 3, 5, 8}) {
    double best = in_pieces(n, 1);
    for (int s = 2; s < 5000; ++s) best = std::min(best, in_pieces(n, s));
    const Cluster c = ideal_cluster(1, n, link(kBandwidth, kLatency));
    CHECK(seconds(c, CollectiveOp::kBroadcast, kBytes, one_node(n)) == Approx(best).epsilon(1e-12));
  }
}

TEST_CASE("O8 without latency a pipelined broadcast takes S/B") {
  const Cluster c = ideal_cluster(1, 8, link(kBandwidth, 0));
  CHECK(seconds(c, CollectiveOp::kBroadcast, kBytes, one_node(8)) ==
        Approx(80e6 / kBandwidth).epsilon(1e-12));
}

}  // namespace
}  // namespace rehearse
