// How a runtime cuts layers into stages, and where ranks lie.

#include <catch2/catch.hpp>
#include <numeric>
#include <set>

#include "strategies/plan.hpp"

namespace rehearse {
namespace {

using Cuts = std::vector<int>;

// round(0), round(2.5), round(5), round(7.5), round(10), halves to even: 0 2 5 8 10.
TEST_CASE("PyTorch's cuts round halves to even") {
  CHECK(automatic_cuts(10, 4, false) == Cuts{2, 3, 3, 2});
}

TEST_CASE("PyTorch's cuts are even where layers divide") {
  CHECK(automatic_cuts(32, 4, false) == Cuts{8, 8, 8, 8});
  CHECK(automatic_cuts(12, 1, false) == Cuts{12});
}

// Embedding and head count as a layer each: (126 + 2) / 64 = 2 a chunk.
TEST_CASE("Megatron's 126 layers over 64 chunks have one at either end") {
  const Cuts cuts = automatic_cuts(126, 64, true);
  REQUIRE(cuts.size() == 64);
  CHECK(cuts.front() == 1);
  CHECK(cuts.back() == 1);
  for (std::size_t i = 1; i + 1 < cuts.size(); ++i) CHECK(cuts[i] == 2);
}

TEST_CASE("Megatron's cuts are even where layers divide") {
  CHECK(automatic_cuts(80, 8, true) == Cuts(8, 10));
}

TEST_CASE("Megatron's other cuts are as even as possible") {
  CHECK(automatic_cuts(7, 4, true) == Cuts{2, 2, 2, 1});
}

TEST_CASE("cuts hold every layer, none with less than one") {
  for (bool megatron : {false, true})
    for (int layers = 1; layers <= 130; ++layers)
      for (int stages = 1; stages <= layers; ++stages) {
        const Cuts cuts = automatic_cuts(layers, stages, megatron);
        INFO(layers << " layers over " << stages << (megatron ? " by Megatron" : ""));
        REQUIRE(cuts.size() == static_cast<std::size_t>(stages));
        REQUIRE(std::accumulate(cuts.begin(), cuts.end(), 0) == layers);
        // A chunk at an end of Megatron's holds the embedding or the head besides its layers.
        const int least = *std::min_element(cuts.begin(), cuts.end());
        REQUIRE(least >= (megatron && (layers + 2) % stages == 0 ? 0 : 1));
      }
}

RankMap map_of(std::vector<std::string> order) { return {std::move(order), 4, 2, 3, 5}; }

TEST_CASE("tensor-parallel ranks are neighbours in the default order") {
  const RankMap map = map_of({"tp", "cp", "ep", "dp", "pp"});
  CHECK(map.group({}, "tp") == Cuts{0, 1});
  CHECK(map.group({}, "cp") == Cuts{0, 2, 4});
  CHECK(map.group({}, "dp") == Cuts{0, 6, 12, 18});
  CHECK(map.group({}, "pp") == Cuts{0, 24, 48, 72, 96});
}

TEST_CASE("the first axis of rank_order is the innermost") {
  const RankMap map = map_of({"pp", "dp", "tp", "cp"});
  CHECK(map.group({}, "pp") == Cuts{0, 1, 2, 3, 4});
  CHECK(map.group({}, "dp") == Cuts{0, 5, 10, 15});
}

TEST_CASE("places and ranks are each other's inverse") {
  for (const auto& order : std::vector<std::vector<std::string>>{
           {"tp", "cp", "ep", "dp", "pp"}, {"dp", "tp", "pp", "cp"}, {"pp", "cp", "dp", "tp"}}) {
    const RankMap map = map_of(order);
    std::set<int> seen;
    for (int rank = 0; rank < 120; ++rank) {
      const RankMap::Place p = map.place_of(rank);
      CHECK(map.rank_of(p) == rank);
      CHECK(p.data < 4);
      CHECK(p.tensor < 2);
      CHECK(p.context < 3);
      CHECK(p.pipeline < 5);
      seen.insert(map.rank_of(p));
    }
    CHECK(seen.size() == 120);
  }
}

TEST_CASE("groups of one axis partition the ranks") {
  const RankMap map = map_of({"tp", "cp", "ep", "dp", "pp"});
  for (const char* axis : {"tp", "cp", "dp", "pp"}) {
    std::multiset<int> members;
    std::set<std::vector<int>> groups;
    for (int rank = 0; rank < 120; ++rank) groups.insert(map.group(map.place_of(rank), axis));
    for (const auto& group : groups) members.insert(group.begin(), group.end());
    CHECK(members.size() == 120);
    CHECK(std::set<int>(members.begin(), members.end()).size() == 120);
  }
}

}  // namespace
}  // namespace rehearse
