#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "sim/engine/task_graph.hpp"

namespace rehearse {

// A task's end, as the event engine orders them: by time, then by task id. The slot says where it
// came from. One number of 128 bits, so that the comparison and the choice of a winner stay in
// registers.
class Completion {
 public:
  Completion() = default;
  Completion(std::int64_t time_ps, TaskId task, std::uint32_t slot)
      : task_and_slot_((std::uint64_t{task} << 32) | slot),
        time_ps_(static_cast<std::uint64_t>(time_ps)) {}

  std::int64_t time_ps() const { return static_cast<std::int64_t>(time_ps_); }
  TaskId task() const { return static_cast<TaskId>(task_and_slot_ >> 32); }
  std::uint32_t slot() const { return static_cast<std::uint32_t>(task_and_slot_); }

  bool before(const Completion& o) const { return number() < o.number(); }
  // By masks: who wins is unpredictable, and compilers make branches of `a < b ? a : b` here.
  static Completion earlier(const Completion& a, const Completion& b) {
    const std::uint64_t mask = -static_cast<std::uint64_t>(a.before(b));
    Completion first;
    first.time_ps_ = b.time_ps_ ^ ((a.time_ps_ ^ b.time_ps_) & mask);
    first.task_and_slot_ = b.task_and_slot_ ^ ((a.task_and_slot_ ^ b.task_and_slot_) & mask);
    return first;
  }

 private:
  __extension__ using Number = unsigned __int128;
  Number number() const { return (Number{time_ps_} << 64) | task_and_slot_; }

  std::uint64_t task_and_slot_ = 0;
  std::uint64_t time_ps_ = std::numeric_limits<std::int64_t>::max();  // never negative
};

// The next completion among a fixed number of slots (the streams), each of which has at most one.
//
// Model. A tournament tree of four children a node: a leaf holds its slot's completion, a node the
// earliest of its children, the root the earliest of all. Setting a slot replays its matches up to
// the root: log4(slots) of them on addresses known beforehand, in which the three others of a group
// meet each other while the winner from below is still being found. Against a heap, a slot's
// completion is replaced or moved (a change of rate) without being searched for and without stale
// entries. An idle slot has a time that never comes.
//
// Layout. Nodes lie level by level from the root on, at 3, so that a group is one cache line: the
// children of node i are 4 i - 8 to 4 i - 5, and the leaves come last.
class CompletionTree {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  explicit CompletionTree(std::uint32_t slots)
      : first_leaf_(kRoot + (std::size_t{slots} + 1) / 3), groups_((first_leaf_ + slots + 3) / 4) {}

  const Completion& first() const { return node(kRoot); }
  const Completion& at(std::uint32_t slot) const { return node(first_leaf_ + slot); }

  void set(std::uint32_t slot, std::int64_t time_ps, TaskId task) {
    Completion winner(time_ps, task, slot);
    Group* const groups = groups_.data();
    std::size_t i = first_leaf_ + slot;
    for (;;) {
      Completion* const group = groups[i / 4].nodes;
      group[i % 4] = winner;
      if (i == kRoot) return;
      const Completion others = Completion::earlier(
          Completion::earlier(group[i % 4 ^ 1], group[i % 4 ^ 2]), group[i % 4 ^ 3]);
      winner = Completion::earlier(winner, others);
      i = i / 4 + 2;
    }
  }
  void clear(std::uint32_t slot) { set(slot, kNever, 0); }

 private:
  static constexpr std::size_t kRoot = 3;
  struct alignas(64) Group {
    Completion nodes[4];
  };
  const Completion& node(std::size_t i) const { return groups_[i / 4].nodes[i % 4]; }

  std::size_t first_leaf_;
  std::vector<Group> groups_;
};

// Completions of tasks on no stream, of which any number may be under way: a 4-ary heap. Does not
// allocate within its reserved capacity.
class DelayHeap {
 public:
  void reserve(std::size_t capacity) { heap_.reserve(capacity); }
  bool empty() const { return heap_.empty(); }
  const Completion& first() const { return heap_.front(); }

  void push(const Completion& c) {
    heap_.push_back(c);
    std::size_t i = heap_.size() - 1;
    while (i > 0) {
      const std::size_t parent = (i - 1) / kArity;
      if (!c.before(heap_[parent])) break;
      heap_[i] = heap_[parent];
      i = parent;
    }
    heap_[i] = c;
  }

  void pop() {
    const Completion last = heap_.back();
    heap_.pop_back();
    const std::size_t size = heap_.size();
    if (size == 0) return;
    std::size_t i = 0;
    for (;;) {
      const std::size_t first_child = kArity * i + 1;
      if (first_child >= size) break;
      std::size_t best = first_child;
      const std::size_t end = first_child + kArity < size ? first_child + kArity : size;
      for (std::size_t child = first_child + 1; child < end; ++child) {
        if (heap_[child].before(heap_[best])) best = child;
      }
      if (!heap_[best].before(last)) break;
      heap_[i] = heap_[best];
      i = best;
    }
    heap_[i] = last;
  }

 private:
  static constexpr std::size_t kArity = 4;
  std::vector<Completion> heap_;
};

}  // namespace rehearse
