// Pipeline schedules: what each rank runs, in which order, and how long it takes where every chunk
// takes the same.

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>

#include "tests/unit/schedule_play.hpp"

namespace rehearse {
namespace {

TEST_CASE("every schedule runs every forward and backward once") {
  for (const Schedule& s : schedules())
    for (const Shape& shape : shapes(s))
      for (int r = 0; r < shape.ranks; ++r) {
        INFO(s.name << " p " << shape.ranks << " m " << shape.micro_batches << " v " << shape.chunks
                    << " rank " << r);
        std::map<std::pair<int, int>, std::vector<ActionKind>> backwards;
        std::set<std::pair<int, int>> forwards;
        for (const Action& a : actions_of(s, shape, r)) {
          REQUIRE(a.chunk < shape.chunks);
          REQUIRE(a.micro_batch < shape.micro_batches);
          if (is_forward(a))
            REQUIRE(forwards.insert({a.chunk, a.micro_batch}).second);
          else
            backwards[{a.chunk, a.micro_batch}].push_back(a.kind);
        }
        const auto all = static_cast<std::size_t>(shape.chunks * shape.micro_batches / s.copies());
        REQUIRE(forwards.size() == all);
        REQUIRE(backwards.size() == all);
        for (const auto& [which, kinds] : backwards) {
          const bool whole = kinds == std::vector<ActionKind>{ActionKind::kBackward};
          const bool parts = kinds == std::vector<ActionKind>{ActionKind::kBackwardInputs,
                                                              ActionKind::kBackwardWeights};
          REQUIRE((whole || parts));
          REQUIRE((s.splits_backward || whole));
        }
      }
}

TEST_CASE("no schedule makes ranks wait for each other for ever") {
  for (const Schedule& s : schedules())
    for (const Shape& shape : shapes(s)) {
      INFO(s.name << " p " << shape.ranks << " m " << shape.micro_batches << " v " << shape.chunks);
      CHECK(Play(s, shape, {}).end() > 0);
    }
}

TEST_CASE("GPipe runs all forwards before all backwards") {
  const std::vector<Action> list = gpipe({4, 1, 6, 1});
  REQUIRE(list.size() == 12);
  for (int m = 0; m < 6; ++m) {
    CHECK(list[static_cast<std::size_t>(m)] == Action{ActionKind::kForward, 0, m});
    CHECK(list[static_cast<std::size_t>(6 + m)] == Action{ActionKind::kBackward, 0, m});
  }
}

TEST_CASE("rank r of 1F1B runs p - r forwards before its first backward") {
  for (int rank = 0; rank < 4; ++rank) {
    const std::vector<Action> list = one_forward_one_backward({4, rank, 8, 1});
    const auto first = std::find_if_not(list.begin(), list.end(), is_forward);
    CHECK(first - list.begin() == 4 - rank);
  }
}

TEST_CASE("rank r of 1F1B keeps at most p - r micro-batches") {
  for (int rank = 0; rank < 4; ++rank) {
    int alive = 0, most = 0;
    for (const Action& a : one_forward_one_backward({4, rank, 16, 1})) {
      alive += is_forward(a) ? 1 : -1;
      most = std::max(most, alive);
    }
    CHECK(most == 4 - rank);
  }
}

// Narayanan et al. 2021, figure 4: two ranks, two chunks, four micro-batches. The first rank runs
// 2 (p - 1) + (v - 1) p = 4 chunk forwards ahead.
TEST_CASE("interleaved 1F1B takes micro-batches in rounds of p through every chunk") {
  const auto f = [](int chunk, int m) { return Action{ActionKind::kForward, chunk, m}; };
  const auto b = [](int chunk, int m) { return Action{ActionKind::kBackward, chunk, m}; };
  const std::vector<Action> expected{f(0, 0), f(0, 1), f(1, 0), f(1, 1), f(0, 2), b(1, 0),
                                     f(0, 3), b(1, 1), f(1, 2), b(0, 0), f(1, 3), b(0, 1),
                                     b(1, 2), b(1, 3), b(0, 2), b(0, 3)};
  CHECK(interleaved({2, 0, 4, 2}) == expected);
}

TEST_CASE("interleaved 1F1B with one chunk is 1F1B") {
  for (int rank = 0; rank < 4; ++rank)
    CHECK(interleaved({4, rank, 8, 1}) == one_forward_one_backward({4, rank, 8, 1}));
}

// GPipe and 1F1B: (m + p - 1)(tf + tb).
TEST_CASE("GPipe and 1F1B have the bubble of p - 1 micro-batches") {
  for (const char* name : {"gpipe", "1f1b"})
    for (const Shape& shape : {Shape{4, 8, 1}, Shape{8, 8, 1}, Shape{2, 5, 1}})
      CHECK(Play(*find_schedule(name), shape, {1, 1, 1}).end() ==
            3 * (shape.micro_batches + shape.ranks - 1));
}

// A chunk takes 1/v of a stage: v m chunk passes of tf + tb = 3 each, and a bubble of p - 1.
TEST_CASE("interleaved 1F1B has the bubble of p - 1 chunks") {
  for (const Shape& shape : {Shape{4, 8, 2}, Shape{4, 8, 3}, Shape{2, 4, 4}, Shape{8, 16, 2}})
    CHECK(Play(*find_schedule("interleaved-1f1b"), shape, {1, 1, 1}).end() ==
          3 * (shape.chunks * shape.micro_batches + shape.ranks - 1));
}

TEST_CASE("weight gradients in the bubble make interleaving shorter") {
  for (const Shape& shape : {Shape{4, 8, 2}, Shape{8, 16, 2}, Shape{4, 16, 3}}) {
    INFO("p " << shape.ranks << " m " << shape.micro_batches << " v " << shape.chunks);
    CHECK(Play(*find_schedule("interleaved-zero-bubble"), shape, {1, 1, 1}).end() <
          Play(*find_schedule("interleaved-1f1b"), shape, {1, 1, 1}).end());
  }
}

// Live: forwards whose gradients of weights are not done. Qi et al. 2024: ZB-H1 keeps what 1F1B's
// first rank does, ZB-H2 one less than twice as much, ZB-V twice as many chunks of half the size;
// DeepSeek-V3: p + 1.
TEST_CASE("zero-bubble schedules keep no more micro-batches than their papers say") {
  for (const auto& [name, most] :
       std::map<std::string, int (*)(int)>{{"zb-h1", [](int p) { return p; }},
                                           {"zb-h2", [](int p) { return 2 * p - 1; }},
                                           {"zbv", [](int p) { return 2 * p; }},
                                           {"dualpipe", [](int p) { return p + 1; }}}) {
    const Schedule& s = *find_schedule(name);
    for (int p : {2, 4, 8, 16})
      for (int r = 0; r < p; ++r) {
        int live = 0, peak = 0;
        for (const Action& a : actions_of(s, {p, 3 * p, std::max(1, s.chunks_per_rank)}, r)) {
          if (is_forward(a)) ++live;
          if (a.kind == ActionKind::kBackward || a.kind == ActionKind::kBackwardWeights) --live;
          peak = std::max(peak, live);
        }
        CAPTURE(name, p, r);
        CHECK(live == 0);
        CHECK(peak <= most(p));
        if (r == 0) CHECK(peak == most(p));
      }
  }
}

TEST_CASE("DualPipe's two copies lie in opposite directions and share the micro-batches") {
  const Schedule& s = *find_schedule("dualpipe");
  CHECK(stage_of(s, 4, 1, 0) == 1);
  CHECK(stage_of(s, 4, 1, 1) == 2);
  for (const Action& a : dualpipe({4, 1, 8, 2})) CHECK(a.micro_batch / 4 == a.chunk);
}

TEST_CASE("DualPipe needs an even number of ranks and of micro-batches, two a rank") {
  CHECK(dualpipe_misfit({4, 0, 8, 2}).empty());
  CHECK(!dualpipe_misfit({3, 0, 8, 2}).empty());
  CHECK(!dualpipe_misfit({4, 0, 9, 2}).empty());
  CHECK(!dualpipe_misfit({4, 0, 6, 2}).empty());
}

TEST_CASE("the V gives the first rank the first and the last stage") {
  const Schedule& zbv = *find_schedule("zbv");
  CHECK(stage_of(zbv, 4, 0, 0) == 0);
  CHECK(stage_of(zbv, 4, 0, 1) == 7);
  CHECK(stage_of(zbv, 4, 3, 0) == 3);
  CHECK(stage_of(zbv, 4, 3, 1) == 4);
}

TEST_CASE("stages and places are each other's inverse") {
  for (const Schedule& s : schedules()) {
    const int chunks = s.chunks_per_rank > 0 ? s.chunks_per_rank : 3;
    std::set<int> seen;
    for (int r = 0; r < 6; ++r)
      for (int c = 0; c < chunks; ++c) {
        const int stage = stage_of(s, 6, r, c);
        const StagePlace at = place_of(s, 6, chunks, stage, s.copy_of(c));
        CHECK(at.rank == r);
        CHECK(at.chunk == c);
        seen.insert(stage);
      }
    CHECK(seen.size() == static_cast<std::size_t>(6 * chunks / s.copies()));
    CHECK(*seen.rbegin() == 6 * chunks / s.copies() - 1);
  }
}

}  // namespace
}  // namespace rehearse
