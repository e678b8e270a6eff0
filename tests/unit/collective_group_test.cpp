#include <catch2/catch.hpp>
#include <numeric>
#include <vector>

#include "hardware/collectives/algorithm.hpp"
#include "tests/unit/collective_clusters.hpp"

namespace rehearse {
namespace {

using namespace testing;

Cluster four_nodes() { return ideal_cluster(4, 8, link(450e9, 1e-6), link(50e9, 3e-6)); }

TEST_CASE("tensor-parallel neighbours are a group of one node") {
  const std::vector<int> members{8, 9, 10, 11};
  const CommGroup g = comm_group(four_nodes(), members);
  CHECK(g.ranks == 4);
  CHECK(g.nodes == 1);
  CHECK(g.ranks_per_node == 4);
  CHECK(g.concurrent_per_node == 2);
}

TEST_CASE("data-parallel ranks one a node share the NICs with seven other groups") {
  const std::vector<int> members{3, 11, 19, 27};
  const CommGroup g = comm_group(four_nodes(), members);
  CHECK(g.nodes == 4);
  CHECK(g.ranks_per_node == 1);
  CHECK(g.concurrent_per_node == 8);
}

TEST_CASE("the group of all ranks has the NICs to itself") {
  std::vector<int> members(32);
  std::iota(members.begin(), members.end(), 0);
  const CommGroup g = comm_group(four_nodes(), members);
  CHECK(g.ranks == 32);
  CHECK(g.nodes == 4);
  CHECK(g.ranks_per_node == 8);
  CHECK(g.concurrent_per_node == 1);
}

TEST_CASE("an uneven group counts the most and the fewest ranks on one node") {
  const std::vector<int> members{0, 1, 2, 8};
  const CommGroup g = comm_group(four_nodes(), members);
  CHECK(g.nodes == 2);
  CHECK(g.ranks_per_node == 3);
  CHECK(g.least_per_node == 1);
  CHECK(g.concurrent_per_node == 2);
}

// Rings of NCCL, one a NIC: the node with one rank has one NIC of 50 GB/s for them, not four.
TEST_CASE("an uneven group goes at the pace of the node with the fewest ranks") {
  Problem p;
  p.op = CollectiveOp::kAllGather;
  p.bytes = 5e9;
  p.ranks = 5;
  p.nodes = 2;
  p.ranks_per_node = 4;
  p.least_per_node = 1;
  p.intra = {Seconds(0), BytesPerSecond(450e9)};
  p.inter = {Seconds(0), BytesPerSecond(50e9)};
  p.inter_alone = p.crossing = BytesPerSecond(50e9);
  p.ring_per_nic = true;
  CHECK(ring_cost(p)->bandwidth.value == Approx(4.0 / 5 * 5e9 / 50e9));
  CHECK_FALSE(hierarchical_cost(p));
  // Of an all-to-all the lone rank sends four fifths of its buffer out.
  p.op = CollectiveOp::kAllToAll;
  CHECK(direct_cost(p)->bandwidth.value == Approx(4.0 / 5 * 5e9 / 50e9));
}

TEST_CASE("the order of a group's members changes nothing") {
  const std::vector<int> one{0, 8, 16, 24};
  const std::vector<int> other{24, 0, 16, 8};
  const CommGroup a = comm_group(four_nodes(), one);
  const CommGroup b = comm_group(four_nodes(), other);
  CHECK(a.ranks == b.ranks);
  CHECK(a.nodes == b.nodes);
  CHECK(a.ranks_per_node == b.ranks_per_node);
  CHECK(a.concurrent_per_node == b.concurrent_per_node);
}

TEST_CASE("a group of one and an empty buffer cost nothing") {
  CHECK(price_collective(four_nodes(), CollectiveOp::kAllReduce, Bytes(100), {}).time ==
        Seconds(0));
  CHECK(price_collective(four_nodes(), CollectiveOp::kAllGather, Bytes(0), one_node(8)).time ==
        Seconds(0));
  CHECK(point_to_point_time(four_nodes(), 5, 5, Bytes(100)) == Seconds(0));
}

TEST_CASE("every algorithm of the registry is found by its name") {
  for (const std::string& name : collective_algorithm_names()) {
    const CollectiveAlgorithm* found = find_collective_algorithm(name);
    REQUIRE(found != nullptr);
    CHECK(found->name == name);
  }
  CHECK(find_collective_algorithm("rings") == nullptr);
}

TEST_CASE("an algorithm that does not do the operation leaves the choice to auto") {
  Cluster c = four_nodes();
  c.collectives.algorithm = "ring";
  CHECK(price_collective(c, CollectiveOp::kAllToAll, Bytes(1000), one_node(8)).algorithm ==
        "direct");
}

}  // namespace
}  // namespace rehearse
