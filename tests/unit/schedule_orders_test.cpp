// Pipeline schedules: what each rank runs, in which order, and how long it takes where every chunk
// takes the same.

#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <set>
#include <tuple>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {
namespace {

struct Shape {
  int ranks, micro_batches, chunks;
};

// Shapes that a schedule can have, up to eight ranks.
std::vector<Shape> shapes(const Schedule& s) {
  std::vector<Shape> out;
  for (int p : {1, 2, 3, 4, 8})
    for (int m : {1, 2, 3, 4, 7, 8, 16, 24})
      for (int v : {1, 2, 3}) {
        if (s.chunks_per_rank > 0 && v != s.chunks_per_rank) continue;
        if (s.whole_rounds && v > 1 && m % p != 0) continue;
        out.push_back({p, m, v});
      }
  return out;
}

std::vector<Action> actions_of(const Schedule& s, const Shape& shape, int rank) {
  return s.actions({shape.ranks, rank, shape.micro_batches, shape.chunks});
}

bool is_forward(const Action& a) { return a.kind == ActionKind::kForward; }

struct Times {
  int forward = 1, inputs = 1, weights = 1;
  int of(ActionKind k) const {
    switch (k) {
      case ActionKind::kForward:
        return forward;
      case ActionKind::kBackward:
        return inputs + weights;
      case ActionKind::kBackwardInputs:
        return inputs;
      case ActionKind::kBackwardWeights:
        return weights;
    }
    return 0;
  }
};

// Runs every rank's actions in their order, each as soon as what it needs is there; messages take
// no time. The end of the last action, or -1 when ranks wait for each other for ever.
class Play {
 public:
  Play(const Schedule& s, const Shape& shape, const Times& times) : s_(s), shape_(shape) {
    std::vector<std::vector<Action>> lists;
    for (int r = 0; r < shape.ranks; ++r) lists.push_back(actions_of(s, shape, r));
    std::vector<std::size_t> next(lists.size(), 0);
    std::vector<int> free(lists.size(), 0);
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t r = 0; r < lists.size(); ++r)
        while (next[r] < lists[r].size()) {
          const Action& a = lists[r][next[r]];
          const int ready = ready_at(static_cast<int>(r), a);
          if (ready < 0) break;
          free[r] = std::max(free[r], ready) + times.of(a.kind);
          finish(static_cast<int>(r), a, free[r]);
          ++next[r];
          moved = true;
        }
    }
    for (std::size_t r = 0; r < lists.size(); ++r) {
      if (next[r] < lists[r].size()) end_ = -1;
      if (end_ >= 0) end_ = std::max(end_, free[r]);
    }
  }
  int end() const { return end_; }

 private:
  using Key = std::tuple<bool, int, int>;  // forward, stage, micro-batch

  int stage(int rank, const Action& a) const { return stage_of(s_, shape_.ranks, rank, a.chunk); }
  int done(bool forward, int stage, int micro_batch) const {
    const auto it = done_.find({forward, stage, micro_batch});
    return it == done_.end() ? -1 : it->second;
  }
  int ready_at(int rank, const Action& a) const {
    const int at = stage(rank, a), last = shape_.ranks * shape_.chunks - 1;
    if (is_forward(a)) return at == 0 ? 0 : done(true, at - 1, a.micro_batch);
    if (a.kind == ActionKind::kBackwardWeights) return done(false, at, a.micro_batch);
    const int own = done(true, at, a.micro_batch);
    if (own < 0 || at == last) return own;
    const int next = done(false, at + 1, a.micro_batch);
    return next < 0 ? -1 : std::max(own, next);
  }
  void finish(int rank, const Action& a, int time) {
    if (a.kind == ActionKind::kBackwardWeights) return;
    done_[{is_forward(a), stage(rank, a), a.micro_batch}] = time;
  }

  const Schedule& s_;
  Shape shape_;
  std::map<Key, int> done_;
  int end_ = 0;
};

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
        const auto all = static_cast<std::size_t>(shape.chunks * shape.micro_batches);
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

// PyTorch's ZB-V splits backward in its last phase alone, so that its bubble is that of p - 1
// chunks, as of interleaving with two chunks and half of 1F1B's, while the memory is 1F1B's.
TEST_CASE("ZB-V has the bubble of p - 1 chunks") {
  for (int p : {2, 4, 8})
    for (int m : {2 * p, 3 * p})
      CHECK(Play(*find_schedule("zbv"), {p, m, 2}, {1, 1, 1}).end() == 3 * (2 * m + p - 1));
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
    for (int r = 0; r < 5; ++r)
      for (int c = 0; c < chunks; ++c) {
        const int stage = stage_of(s, 5, r, c);
        const StagePlace at = place_of(s, 5, chunks, stage);
        CHECK(at.rank == r);
        CHECK(at.chunk == c);
        seen.insert(stage);
      }
    CHECK(seen.size() == static_cast<std::size_t>(5 * chunks));
    CHECK(*seen.rbegin() == 5 * chunks - 1);
  }
}

}  // namespace
}  // namespace rehearse
