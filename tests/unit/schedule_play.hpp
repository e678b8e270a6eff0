#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <tuple>
#include <vector>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {

// A schedule's lists of actions, run by themselves: no kernels, no host, free messages.

struct Shape {
  int ranks, micro_batches, chunks;
};

// Shapes that a schedule can have, up to eight ranks.
inline std::vector<Shape> shapes(const Schedule& s) {
  std::vector<Shape> out;
  for (int p : {1, 2, 3, 4, 8})
    for (int m : {1, 2, 3, 4, 7, 8, 16, 24})
      for (int v : {1, 2, 3}) {
        if (s.chunks_per_rank > 0 && v != s.chunks_per_rank) continue;
        if (p > 1 && !s.misfit({p, 0, m, v}).empty()) continue;
        if (p == 1 && s.copies() > 1) continue;
        out.push_back({p, m, v});
      }
  return out;
}

inline std::vector<Action> actions_of(const Schedule& s, const Shape& shape, int rank) {
  return s.actions({shape.ranks, rank, shape.micro_batches, shape.chunks});
}

inline bool is_forward(const Action& a) { return a.kind == ActionKind::kForward; }

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
  // Told of every action in its rank's order: where it runs, and from when to when.
  using Watch = std::function<void(int rank, const Action& a, int begin, int end)>;

  Play(const Schedule& s, const Shape& shape, const Times& times, const Watch& watch = {})
      : s_(s), shape_(shape), first_(static_cast<std::size_t>(shape.ranks), -1) {
    std::vector<std::vector<Action>> lists;
    for (int r = 0; r < shape.ranks; ++r) lists.push_back(actions_of(s, shape, r));
    std::vector<std::size_t> next(lists.size(), 0);
    std::vector<int> free(lists.size(), 0);
    for (bool moved = true; moved;) {
      moved = false;
      for (std::size_t r = 0; r < lists.size(); ++r)
        while (next[r] < lists[r].size()) {
          // Actions that are one piece of work start and end together.
          std::size_t end = next[r];
          while (lists[r][end].with_next) ++end;
          int start = free[r], duration = 0;
          for (std::size_t i = next[r]; i <= end && start >= 0; ++i) {
            const int ready = ready_at(static_cast<int>(r), lists[r][i]);
            start = ready < 0 ? -1 : std::max(start, ready);
            duration += times.of(lists[r][i].kind);
          }
          if (start < 0) break;
          if (first_[r] < 0) first_[r] = start;
          free[r] = start + duration;
          for (int at = start; next[r] <= end; ++next[r]) {
            const Action& a = lists[r][next[r]];
            if (watch) watch(static_cast<int>(r), a, at, at + times.of(a.kind));
            at += times.of(a.kind);
            finish(static_cast<int>(r), a, free[r]);
          }
          moved = true;
        }
    }
    for (std::size_t r = 0; r < lists.size(); ++r) {
      if (next[r] < lists[r].size()) end_ = -1;
      if (end_ >= 0) end_ = std::max(end_, free[r]);
      last_.push_back(free[r]);
    }
  }
  int end() const { return end_; }
  // From a rank's first action to its last.
  int span(std::size_t rank) const { return last_[rank] - first_[rank]; }

 private:
  using Key = std::tuple<bool, int, int, int>;  // forward, copy of the model, stage, micro-batch

  int stage(int rank, const Action& a) const { return stage_of(s_, shape_.ranks, rank, a.chunk); }
  int done(bool forward, const Action& a, int stage) const {
    const auto it = done_.find({forward, s_.copy_of(a.chunk), stage, a.micro_batch});
    return it == done_.end() ? -1 : it->second;
  }
  int ready_at(int rank, const Action& a) const {
    const int at = stage(rank, a), last = shape_.ranks * shape_.chunks / s_.copies() - 1;
    if (is_forward(a)) return at == 0 ? 0 : done(true, a, at - 1);
    if (a.kind == ActionKind::kBackwardWeights) return done(false, a, at);
    const int own = done(true, a, at);
    if (own < 0 || at == last) return own;
    const int next = done(false, a, at + 1);
    return next < 0 ? -1 : std::max(own, next);
  }
  void finish(int rank, const Action& a, int time) {
    if (a.kind == ActionKind::kBackwardWeights) return;
    done_[{is_forward(a), s_.copy_of(a.chunk), stage(rank, a), a.micro_batch}] = time;
  }

  const Schedule& s_;
  Shape shape_;
  std::vector<int> first_, last_;  // of each rank: start of its first action, end of its last
  std::map<Key, int> done_;
  int end_ = 0;
};

}  // namespace rehearse
