#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "strategies/data/data_parallel.hpp"
#include "strategies/step_writer.hpp"

namespace rehearse {

// Passes of a rank that were written and may be called again. A pass is known by a key and, where
// it runs data parallelism's hooks, by the state that those were in before it. What a pass leaves
// in the writer and in data parallelism is applied when something is written next: a pass that is
// called again costs a look-up.
template <class Key>
class WrittenPasses {
 public:
  WrittenPasses(StepWriter& writer, DataParallel& data)
      : writer_(writer), data_(data), state_(number_of(data.state())) {}

  // Calls the pass for a micro-batch; false where it is still to be written.
  bool call(const Key& key, bool hooks, std::int32_t micro_batch) {
    const auto known = written_.find({key, hooks ? state_ : kNoState});
    if (known == written_.end()) return false;
    Written& w = known->second;
    writer_.call_pass(w.pass, micro_batch);
    w.called = ++called_;
    if (hooks) state_ = w.after;
    return true;
  }

  // Before anything is written: what passes that were called again have left. What a later one
  // leaves is not touched by those before it.
  void catch_up() {
    if (called_ == caught_up_) return;
    std::vector<const Written*> since;
    for (const auto& [key, w] : written_)
      if (w.called > caught_up_) since.push_back(&w);
    std::sort(since.begin(), since.end(),
              [](const Written* a, const Written* b) { return a->called < b->called; });
    for (const Written* w : since) writer_.refill(w->filled);
    data_.restore(states_[static_cast<std::size_t>(state_)]);
    caught_up_ = called_;
  }

  // The pass has been written; `again`: it may be called again.
  void wrote(const Key& key, bool hooks, std::uint32_t pass, bool again) {
    const int before = hooks ? state_ : kNoState;
    if (hooks) state_ = number_of(data_.state());
    if (again) written_.try_emplace({key, before}, Written{pass, writer_.filled(), state_, 0});
  }

 private:
  static constexpr int kNoState = -1;
  struct Written {
    std::uint32_t pass = 0;
    std::vector<StepWriter::Filled> filled;  // what it leaves in the writer
    int after = 0;                           // the state
    std::uint64_t called = 0;                // again, the last time
  };

  int number_of(const DataParallel::State& s) {
    const auto known = std::find(states_.begin(), states_.end(), s) - states_.begin();
    if (known == std::ssize(states_)) states_.push_back(s);
    return static_cast<int>(known);
  }

  StepWriter& writer_;
  DataParallel& data_;
  std::map<std::pair<Key, int>, Written> written_;
  std::vector<DataParallel::State> states_;  // that data parallelism has been in
  int state_ = 0;                            // now
  std::uint64_t called_ = 0, caught_up_ = 0;
};

}  // namespace rehearse
