#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "sim/engine/replay.hpp"

namespace rehearse::bench {

// The event engine as one would write it first: an adjacency list of vectors, a std::priority_queue
// of all events, one object a task. It shares no code with the engine (128-bit arithmetic, entries
// made stale by a version; links are shared anew among all transfers at every instant), so that it
// serves both as the baseline of speed and as a reference model for tests.
class BaselineReplay {
 public:
  explicit BaselineReplay(const TaskGraph& graph);  // copies the graph into its own structures
  Timeline run() const;

  struct Task {
    std::int64_t duration_ps;
    StreamId stream;
    std::uint32_t predecessors;
    TaskClass cls;
    TransferId transfer;
    TaskClass held_as;  // kNoTaskClass: holds nothing
  };
  struct Stream {
    std::uint32_t domain;
    StreamClass cls;
    std::vector<TaskId> tasks;
  };

 private:
  std::vector<Task> tasks_;
  std::vector<std::vector<TaskId>> successors_;
  std::vector<Stream> streams_;
  std::uint32_t domains_ = 0;
  std::size_t classes_;
  std::vector<std::int64_t> parts_;  // rates of a class beside a class, in parts per billion
  bool interferes_;
  std::size_t links_;
  std::vector<Transfer> transfers_;

  friend class BaselineRun;
};

}  // namespace rehearse::bench
