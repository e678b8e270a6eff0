#pragma once

#include <limits>
#include <span>
#include <vector>

#include "sim/engine/annotations.hpp"
#include "sim/engine/replay.hpp"

namespace rehearse {

inline constexpr TaskId kNoTask = std::numeric_limits<TaskId>::max();

// The graph seen backwards: what a task waited for. The frozen graph has only successors, as the
// replay needs no more; reports ask the other way round, so this is built once per report, in CSR.
class Dependencies {
 public:
  explicit Dependencies(const TaskGraph& graph);

  std::span<const TaskId> predecessors(TaskId t) const {
    return {predecessors_.data() + offsets_[t], predecessors_.data() + offsets_[t + 1]};
  }
  // The task before it on its stream, or kNoTask.
  TaskId stream_previous(TaskId t) const { return stream_previous_[t]; }

 private:
  std::vector<std::uint32_t> offsets_;
  std::vector<TaskId> predecessors_;
  std::vector<TaskId> stream_previous_;
};

// The predecessor, or the stream's previous task, that ended last: the one whose end let `t` start.
// kNoTask when there is none. Where several ended at once, hosts come last when `notes` are given
// (a host that takes no time is behind every wait), then the lowest id comes first.
TaskId binding_predecessor(const Dependencies& dependencies, const Timeline& timeline, TaskId t,
                           const Annotations* notes);

}  // namespace rehearse
