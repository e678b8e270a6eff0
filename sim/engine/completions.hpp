#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "sim/engine/task_graph.hpp"

namespace rehearse {

// A task's end, as the event engine orders them: by time, then by task id. The slot says where it
// came from. Two words, so that the comparison and the choice of a winner stay in registers.
class Completion {
 public:
  Completion() = default;
  Completion(std::int64_t time_ps, TaskId task, std::uint32_t slot)
      : time_ps_(time_ps), task_and_slot_((std::uint64_t{task} << 32) | slot) {}

  std::int64_t time_ps() const { return time_ps_; }
  TaskId task() const { return static_cast<TaskId>(task_and_slot_ >> 32); }
  std::uint32_t slot() const { return static_cast<std::uint32_t>(task_and_slot_); }

  bool before(const Completion& o) const {
    return (time_ps_ < o.time_ps_) |
           ((time_ps_ == o.time_ps_) & (task_and_slot_ < o.task_and_slot_));
  }
  // By masks: who wins is unpredictable, and compilers make branches of `a < b ? a : b` here.
  static Completion earlier(const Completion& a, const Completion& b) {
    const std::uint64_t mask = -static_cast<std::uint64_t>(a.before(b));
    const auto a_time = static_cast<std::uint64_t>(a.time_ps_);
    const auto b_time = static_cast<std::uint64_t>(b.time_ps_);
    Completion first;
    first.time_ps_ = static_cast<std::int64_t>(b_time ^ ((a_time ^ b_time) & mask));
    first.task_and_slot_ = b.task_and_slot_ ^ ((a.task_and_slot_ ^ b.task_and_slot_) & mask);
    return first;
  }

 private:
  std::int64_t time_ps_ = std::numeric_limits<std::int64_t>::max();
  std::uint64_t task_and_slot_ = 0;
};

// The next completion among a fixed number of slots (the streams), each of which has at most one.
//
// Model. A tournament tree: leaf `size + slot` holds the slot's completion, node i the earlier of
// nodes 2i and 2i + 1, node 1 the earliest of all. Setting a slot replays its matches up to the
// root: log2(slots) comparisons on addresses known beforehand. Against a heap, a slot's completion
// is replaced or moved (a change of rate) without being searched for and without stale entries.
// An idle slot has a time that never comes.
class CompletionTree {
 public:
  static constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

  explicit CompletionTree(std::uint32_t slots) : slots_(slots), nodes_(2 * std::size_t{slots}) {}

  const Completion& first() const { return nodes_[1]; }
  const Completion& at(std::uint32_t slot) const { return nodes_[slots_ + slot]; }

  void set(std::uint32_t slot, std::int64_t time_ps, TaskId task) {
    Completion winner(time_ps, task, slot);
    Completion* const nodes = nodes_.data();
    std::size_t i = slots_ + std::size_t{slot};
    nodes[i] = winner;
    while (i > 1) {
      winner = Completion::earlier(winner, nodes[i ^ 1]);
      i >>= 1;
      nodes[i] = winner;
    }
  }
  void clear(std::uint32_t slot) { set(slot, kNever, 0); }

 private:
  std::uint32_t slots_;
  std::vector<Completion> nodes_;
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
