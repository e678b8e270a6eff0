// O12: nccl-tests' bus bandwidth. Algorithm bandwidth is bytes over time; times the traffic of a
// link over the buffer it becomes comparable with the hardware: 2(n-1)/n for all_reduce, (n-1)/n
// for all_gather, reduce_scatter and all_to_all, 1 for broadcast. (nccl-tests, doc/PERFORMANCE.md)
//
// An ideal ring without latency shows the link's bandwidth whatever n and the operation are.

#include <catch2/catch.hpp>

#include "tests/unit/collective_clusters.hpp"

namespace rehearse {
namespace {

using namespace testing;

TEST_CASE("O12 bus bandwidth over algorithm bandwidth") {
  const auto factor = [](CollectiveOp op, int n) {
    return bus_bandwidth(op, Bytes(1000), n, Seconds(1)).value / 1000;
  };
  CHECK(factor(CollectiveOp::kAllReduce, 4) == Approx(1.5));
  CHECK(factor(CollectiveOp::kAllReduce, 8) == Approx(1.75));
  CHECK(factor(CollectiveOp::kAllGather, 4) == Approx(0.75));
  CHECK(factor(CollectiveOp::kReduceScatter, 4) == Approx(0.75));
  CHECK(factor(CollectiveOp::kAllToAll, 4) == Approx(0.75));
  CHECK(factor(CollectiveOp::kBroadcast, 4) == Approx(1));
  CHECK(factor(CollectiveOp::kSendRecv, 4) == Approx(1));
}

TEST_CASE("O12 an ideal collective's bus bandwidth is the link's") {
  for (const int n : {2, 3, 8}) {
    const Cluster c = ideal_cluster(1, n, link(450e9, 0));
    for (const CollectiveOp op :
         {CollectiveOp::kAllReduce, CollectiveOp::kAllGather, CollectiveOp::kReduceScatter,
          CollectiveOp::kAllToAll, CollectiveOp::kBroadcast, CollectiveOp::kSendRecv}) {
      const CollectivePrice p = price_collective(c, op, Bytes(1 << 30), one_node(n));
      CHECK(bus_bandwidth(op, Bytes(1 << 30), n, p.time).value == Approx(450e9).epsilon(1e-12));
    }
  }
}

}  // namespace
}  // namespace rehearse
