// Random groups on random clusters, ideal and measured.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

#include "sim/config/catalog.hpp"
#include "tests/unit/collective_clusters.hpp"

namespace rehearse {
namespace {

using namespace testing;

constexpr CollectiveOp kOps[] = {CollectiveOp::kAllReduce,     CollectiveOp::kAllGather,
                                 CollectiveOp::kReduceScatter, CollectiveOp::kBroadcast,
                                 CollectiveOp::kAllToAll,      CollectiveOp::kSendRecv};

struct Case {
  Cluster cluster;
  CommGroup group;
};

int pick(std::mt19937& random, std::initializer_list<int> values) {
  return values.begin()[std::uniform_int_distribution<std::size_t>(0, values.size() - 1)(random)];
}

CommGroup random_group(std::mt19937& random, const Cluster& c) {
  CommGroup g;
  do {
    g.ranks_per_node = std::uniform_int_distribution<int>(1, c.gpus_per_node)(random);
    g.nodes = std::uniform_int_distribution<int>(1, c.nodes)(random);
  } while (g.ranks_per_node * g.nodes < 2);
  g.ranks = g.ranks_per_node * g.nodes;
  g.concurrent_per_node =
      std::uniform_int_distribution<int>(1, c.gpus_per_node / g.ranks_per_node)(random);
  return g;
}

std::vector<Case> ideal_cases() {
  std::mt19937 random(20);
  std::vector<Case> cases;
  for (int i = 0; i < 300; ++i) {
    const int gpus = pick(random, {2, 4, 8, 16});
    Case one;
    one.cluster = ideal_cluster(
        pick(random, {1, 2, 5, 16}), gpus, link(pick(random, {100, 450, 900}) * 1e9, 1e-6),
        link(pick(random, {10, 25, 50, 100}) * 1e9, pick(random, {0, 3, 20}) * 1e-6),
        pick(random, {1, 4, 8, 32}));
    one.group = random_group(random, one.cluster);
    cases.push_back(one);
  }
  return cases;
}

std::vector<Case> shipped_cases() {
  std::mt19937 random(21);
  std::vector<Case> cases;
  for (const std::string& name : catalog_names("clusters")) {
    Cluster c = read_cluster(resolve("clusters", Value::scalar(name)));
    if (c.gpus_per_node == 1) continue;
    if (c.nics_per_node > 0) c.nodes = 16;
    for (int i = 0; i < 25; ++i) cases.push_back({c, random_group(random, c)});
  }
  return cases;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases = ideal_cases();
  for (Case& one : shipped_cases()) cases.push_back(std::move(one));
  return cases;
}

TEST_CASE("a larger buffer never takes less time") {
  for (const Case& one : all_cases()) {
    for (const CollectiveOp op : kOps) {
      double before = 0;
      for (double bytes = 1; bytes < 4e10; bytes *= 1.37) {
        const double now = seconds(one.cluster, op, std::llround(bytes), one.group);
        INFO(one.cluster.name << " " << to_string(op) << " ranks " << one.group.ranks << " bytes "
                              << bytes);
        REQUIRE(std::isfinite(now));
        REQUIRE(now > 0);
        REQUIRE(now >= before * (1 - 1e-12));
        before = now;
      }
    }
  }
}

TEST_CASE("ideal all_reduce takes no less than its halves") {
  for (const Case& one : ideal_cases()) {
    for (const std::int64_t bytes : {1LL << 10, 1LL << 20, 1LL << 30}) {
      const double reduce = seconds(one.cluster, CollectiveOp::kAllReduce, bytes, one.group);
      CHECK(reduce >= seconds(one.cluster, CollectiveOp::kReduceScatter, bytes, one.group));
      CHECK(reduce >= seconds(one.cluster, CollectiveOp::kAllGather, bytes, one.group));
    }
  }
}

TEST_CASE("a measured ring's all_reduce of large buffers takes no less than its halves") {
  int rings = 0;
  for (const Case& one : shipped_cases()) {
    // Trees and switches save an all_reduce steps or bytes that an all_gather cannot.
    const CollectivePrice all =
        price_collective(one.cluster, CollectiveOp::kAllReduce, Bytes(1 << 30), one.group);
    if (all.algorithm != "ring") continue;
    ++rings;
    const double reduce = all.time.value;
    CHECK(reduce >= seconds(one.cluster, CollectiveOp::kReduceScatter, 1 << 30, one.group));
    CHECK(reduce >= seconds(one.cluster, CollectiveOp::kAllGather, 1 << 30, one.group));
  }
  CHECK(rings > 50);
}

TEST_CASE("no rank sends faster than its links") {
  for (const Case& one : all_cases()) {
    const Cluster& c = one.cluster;
    const CommGroup& g = one.group;
    // A rank's own traffic over NVLink and its most over NICs together bound what it can send.
    const double own_nics = std::max(1.0, static_cast<double>(c.nics_per_node) / c.gpus_per_node);
    const double fastest = g.nodes == 1            ? c.intra_node.bandwidth.value
                           : g.ranks_per_node == 1 ? c.inter_node.bandwidth.value * own_nics
                                                   : c.intra_node.bandwidth.value +
                                                         c.inter_node.bandwidth.value * own_nics;
    for (const CollectiveOp op : kOps) {
      const CollectivePrice p = price_collective(c, op, Bytes(1 << 28), g);
      INFO(c.name << " " << to_string(op) << " ranks " << g.ranks << " nodes " << g.nodes << " "
                  << p.algorithm);
      // Wire bytes are rounded to a whole byte.
      CHECK(p.time.value * fastest * (1 + 1e-12) >=
            static_cast<double>(p.wire_bytes_per_rank.value - 1));
    }
  }
}

TEST_CASE("sharing NICs with more groups never makes one faster") {
  for (const Case& one : all_cases()) {
    CommGroup alone = one.group;
    alone.concurrent_per_node = 1;
    for (const CollectiveOp op : kOps) {
      CHECK(seconds(one.cluster, op, 1 << 24, one.group) >=
            seconds(one.cluster, op, 1 << 24, alone) * (1 - 1e-12));
    }
  }
}

TEST_CASE("permuting a group's members changes nothing") {
  std::mt19937 random(22);
  const Cluster c = ideal_cluster(8, 8, link(450e9, 1e-6), link(50e9, 3e-6));
  for (int i = 0; i < 100; ++i) {
    std::vector<int> members(64);
    for (int r = 0; r < 64; ++r) members[static_cast<std::size_t>(r)] = r;
    std::shuffle(members.begin(), members.end(), random);
    members.resize(std::uniform_int_distribution<std::size_t>(2, 64)(random));
    const CommGroup shuffled = comm_group(c, members);
    std::sort(members.begin(), members.end());
    const CommGroup sorted = comm_group(c, members);
    for (const CollectiveOp op : kOps) {
      CHECK(seconds(c, op, 1 << 24, shuffled) == seconds(c, op, 1 << 24, sorted));
    }
  }
}

}  // namespace
}  // namespace rehearse
