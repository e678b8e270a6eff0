#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "hardware/gpu.hpp"
#include "sim/engine/flow_schedule.hpp"

namespace rehearse {

// Classes of work that slow each other on a GPU, as GraphSink makes them: collectives, kernels on
// streams of their own, and kernels of the compute stream by how they and a collective slow each
// other.
class SlowdownClasses {
 public:
  explicit SlowdownClasses(const SideBySide& beside) : beside_(beside) {
    set(kForegroundTasks, kBackgroundTasks, 1 / beside.memory_slowdown);
    set(kBackgroundTasks, kForegroundTasks, 1 / beside.communication_slowdown_by_memory);
  }

  // Nothing: there are more of them than classes.
  std::optional<TaskClass> of(const Slowdowns& s) {
    for (const auto& [known, cls] : known_)
      if (known == s) return cls;
    if (next_ == kMaxTaskClasses) return {};
    const TaskClass cls = next_++;
    set(cls, kBackgroundTasks, 1 / s.kernel);
    set(kBackgroundTasks, cls, 1 / s.collective);
    set(cls, kForegroundTasks, 1 / beside_.kernel_slowdown);
    set(kForegroundTasks, cls, 1 / beside_.kernel_slowdown);
    known_.emplace_back(s, cls);
    return cls;
  }
  const ClassRates& rates() const { return rates_; }

 private:
  void set(TaskClass of, TaskClass beside, double rate) {
    rates_.at(of, beside) = to_rate_parts(rate);
  }

  SideBySide beside_;
  ClassRates rates_;
  TaskClass next_ = kIndependentTasks + 1;
  std::vector<std::pair<Slowdowns, TaskClass>> known_;
};

}  // namespace rehearse
