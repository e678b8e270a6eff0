#include <catch2/catch.hpp>
#include <string>

#include "hardware/collectives/tuning.hpp"
#include "tests/unit/collective_clusters.hpp"

namespace rehearse {
namespace {

using namespace testing;

constexpr auto kOp = CollectiveOp::kAllGather;

// all_gather of two ranks sends half of the buffer, of four three quarters.
constexpr const char* kTuning = R"(link: {bandwidth: 100 GB/s, latency: 1 us}
measured:
  all_gather:
    - ranks: 2
      regimes:
        - {from: 0 B, latency: 10 us, bandwidth: 1 GB/s}
        - {from: 100000 B, latency: 20 us, bandwidth: 50 GB/s}
    - ranks: 4
      regimes:
        - {from: 0 B, latency: 30 us, bandwidth: 50 GB/s}
  all_reduce:
    - {ranks: 2, regimes: [{latency: 10 us, bandwidth: 50 GB/s}]}
    - {ranks: 8, nvls: true, regimes: [{latency: 20 us, bandwidth: 60 GB/s}]}
protocols:
  - {name: ll, base: 5 us, bandwidth: 0.25}
  - {name: simple, base: 5 us, intra_hop: 2 us, inter_hop: 10 us}
)";

TuningTable table() { return read_tuning(parse_text(kTuning, "tuning.yaml")); }

TEST_CASE("a measured number of ranks costs latency and wire bytes of its range of sizes") {
  const auto cost = table().measured(kOp, 10'000, 2, false);
  CHECK(cost->latency.value == Approx(10e-6));
  CHECK(cost->bandwidth.value == Approx(5'000 / 1e9));
}

TEST_CASE("a larger message takes no less time where a range of sizes begins") {
  // At 100,000 bytes the first line ends at 60 us and the second begins at 21.
  const TuningTable t = table();
  CHECK(t.measured(kOp, 100'000, 2, false)->total().value == Approx(60e-6));
  CHECK(t.measured(kOp, 1'000'000, 2, false)->total().value == Approx(60e-6));
  CHECK(t.measured(kOp, 8'000'000, 2, false)->total().value == Approx(20e-6 + 4e6 / 50e9));
}

TEST_CASE("ranks between two measured numbers are interpolated") {
  const auto cost = table().measured(kOp, 8'000'000, 3, false);
  CHECK(cost->latency.value == Approx(25e-6));
  CHECK(cost->bandwidth.value == Approx(2.0 / 3 * 8e6 / 50e9));
}

TEST_CASE("past the last measured number latency goes on rising and bandwidth stays") {
  // The smallest messages take 10 us on two and 30 us on four ranks: 10 us a rank.
  const TuningTable t = table();
  CHECK(t.beyond(kOp, 8, false));
  CHECK_FALSE(t.beyond(kOp, 4, false));
  const auto cost = t.measured(kOp, 8'000'000, 8, false);
  CHECK(cost->latency.value == Approx(70e-6));
  CHECK(cost->bandwidth.value == Approx(7.0 / 8 * 8e6 / 50e9));
}

TEST_CASE("curves of in-network reduction count only where the switches do it") {
  const TuningTable t = table();
  CHECK(t.uses_nvls(CollectiveOp::kAllReduce, 8, true));
  CHECK_FALSE(t.uses_nvls(CollectiveOp::kAllReduce, 8, false));
  CHECK(t.measured(CollectiveOp::kAllReduce, 6e6, 8, true)->bandwidth.value == Approx(6e6 / 60e9));
  CHECK(t.measured(CollectiveOp::kAllReduce, 6e6, 8, false)->bandwidth.value ==
        Approx(2 * 7.0 / 8 * 6e6 / 50e9));
}

TEST_CASE("measured times move with the cluster's links") {
  Cluster c = ideal_cluster(1, 4, link(200e9, 3e-6));
  c.collectives.ideal = false;
  c.collectives.table = std::make_shared<const TuningTable>(table());
  // Twice the bandwidth; three hops of 2 us more.
  const CollectivePrice p = price_collective(c, kOp, Bytes(8'000'000), one_node(4));
  CHECK(p.latency_part.value == Approx(36e-6));
  CHECK(p.bandwidth_part.value == Approx(6e6 / 100e9));
}

TEST_CASE("across nodes the best protocol of a ring over all NICs counts") {
  Cluster c = ideal_cluster(2, 2, link(100e9, 1e-6), link(20e9, 3e-6));
  c.collectives.ideal = false;
  c.collectives.table = std::make_shared<const TuningTable>(table());
  c.collectives.algorithm = "ring";
  // Two NICs of 20 GB/s at 90 %: 36 GB/s. Hops of a ring of four: two inside, one between.
  const CommGroup all{4, 2, 2, 1};
  const double large = 5e-6 + 2 * 3e-6 + 13e-6 + 0.75 * 1e9 / 36e9;
  CHECK(seconds(c, kOp, 1'000'000'000, all) == Approx(large));
  const double small = 5e-6 + 2 * 1e-6 + 3e-6 + 0.75 * 1000 / (0.25 * 36e9);
  CHECK(seconds(c, kOp, 1000, all) == Approx(small));
}

TEST_CASE("mistakes of a tuning are reported at once") {
  try {
    read_tuning(parse_text("measured: {all_gathr: []}\nprotocols: [{name: ll, bandwidth: 2}]\n",
                           "tuning.yaml"));
    FAIL("nothing thrown");
  } catch (const UserError& e) {
    CHECK_THAT(e.what(), Catch::Contains("did you mean 'all_gather'") &&
                             Catch::Contains("fraction") && Catch::Contains("tuning.yaml:1"));
  }
}

}  // namespace
}  // namespace rehearse
