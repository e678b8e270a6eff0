#include <catch2/catch.hpp>
#include <string>

#include "hardware/collectives/tuning.hpp"
#include "sim/config/catalog.hpp"
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

// Measured on two H200 (calibration/results/h200-sxm/links.csv): all_reduce of 256 MiB with 1, 2, 4
// and 8 channels, and with all that NCCL takes.
TEST_CASE("channels limit what a collective reaches") {
  Cluster c = read_cluster(resolve("clusters", Value::scalar("h200-2")));
  const auto microseconds = [&](int channels) {
    c.collectives.channels = channels;
    return 1e6 * seconds(c, CollectiveOp::kAllReduce, 256 << 20, one_node(2));
  };
  const std::pair<int, double> measured[] = {{1, 12755.9}, {2, 6398.4}, {4, 3239.7}, {8, 1675.3}};
  for (const auto& [channels, us] : measured)
    CHECK(microseconds(channels) == Approx(us).epsilon(0.05));
  CHECK(microseconds(0) == Approx(887.2).epsilon(0.03));
  CHECK(microseconds(32) == microseconds(0));
  c.collectives.ideal = true;
  CHECK(microseconds(1) == microseconds(0));
}

TEST_CASE("a price says what it rests on") {
  const Cluster c = read_cluster(resolve("clusters", Value::scalar("dgx-h200")));
  const auto basis = [&](int ranks, bool nvls) {
    Cluster with = c;
    with.collectives.nvls = nvls;
    return price_collective(with, CollectiveOp::kAllReduce, Bytes(1 << 26), one_node(ranks)).basis;
  };
  CHECK(basis(4, false) == "measured on 4 ranks");
  CHECK(basis(3, false) == "interpolated from 2 and 4 ranks");
  CHECK(basis(8, false) == "extrapolated from 2 and 4 ranks");
  CHECK(basis(8, true) == "measured on 8 ranks with NVLS");
  CHECK_THAT(price_collective(c, CollectiveOp::kAllReduce, Bytes(1 << 26), {16, 2, 8, 1}).basis,
             Catch::StartsWith("modelled"));
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
