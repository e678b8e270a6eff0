#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <vector>

#include "sim/engine/completions.hpp"

using namespace rehearse;

TEST_CASE("completions are ordered by time, then by task id") {
  CHECK(Completion(5, 9, 0).before(Completion(6, 1, 0)));
  CHECK(Completion(5, 1, 9).before(Completion(5, 2, 0)));
  CHECK_FALSE(Completion(5, 2, 0).before(Completion(5, 2, 0)));
}

TEST_CASE("a tree of idle slots never completes") {
  const CompletionTree tree(7);
  CHECK(tree.first().time_ps() == CompletionTree::kNever);
}

TEST_CASE("a slot's completion can be moved both ways and cleared") {
  // Three slots: not a power of two.
  CompletionTree tree(3);
  tree.set(0, 10, 100);
  tree.set(1, 20, 101);
  tree.set(2, 30, 102);
  CHECK(tree.first().task() == 100);
  tree.set(0, 40, 100);
  CHECK(tree.first().task() == 101);
  tree.set(2, 15, 102);
  CHECK(tree.first().task() == 102);
  CHECK(tree.first().slot() == 2);
  tree.clear(2);
  tree.clear(1);
  CHECK(tree.first().time_ps() == 40);
}

TEST_CASE("a tree of one slot is its own root") {
  CompletionTree tree(1);
  tree.set(0, 5, 3);
  CHECK(tree.first().task() == 3);
  tree.clear(0);
  CHECK(tree.first().time_ps() == CompletionTree::kNever);
}

TEST_CASE("a tree of any size finds the earliest of its slots after every change") {
  for (std::uint32_t slots = 1; slots <= 70; ++slots) {
    CompletionTree tree(slots);
    std::vector<std::int64_t> times(slots, CompletionTree::kNever);
    // 37 and 101 are primes: slots and times come in no order, and some times tie.
    for (std::uint32_t i = 0; i < 6 * slots; ++i) {
      const std::uint32_t slot = 37 * i % slots;
      if (i % 5 == 4) {
        times[slot] = CompletionTree::kNever;
        tree.clear(slot);
      } else {
        times[slot] = 53 * i % 101;
        tree.set(slot, times[slot], 1000 - slot);
      }
      const std::int64_t earliest = *std::min_element(times.begin(), times.end());
      REQUIRE(tree.first().time_ps() == earliest);
      if (earliest == CompletionTree::kNever) continue;
      // Of slots that tie, the last has the smallest task.
      std::uint32_t expected = slots;
      while (times[--expected] != earliest) {
      }
      REQUIRE(tree.first().slot() == expected);
      REQUIRE(tree.first().task() == 1000 - expected);
    }
  }
}

TEST_CASE("delays come out in order of time and task") {
  DelayHeap heap;
  // 7 * i mod 31 visits 0..30 once each; every time is shared by two tasks.
  for (std::uint32_t i = 0; i < 31; ++i) {
    const std::uint32_t task = 7 * i % 31;
    heap.push(Completion(task / 2, task, 0));
  }
  for (std::uint32_t expected = 0; expected < 31; ++expected) {
    REQUIRE_FALSE(heap.empty());
    CHECK(heap.first().task() == expected);
    heap.pop();
  }
  CHECK(heap.empty());
}
