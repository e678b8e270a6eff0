#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "sim/base/sim_time.hpp"

namespace rehearse {

using TaskId = std::uint32_t;
using StreamId = std::uint32_t;
inline constexpr StreamId kNoStream = std::numeric_limits<StreamId>::max();

enum class StreamClass : std::uint8_t {
  kForeground,  // compute
  kBackground,  // communication that overlaps it
  kIndependent  // hosts, copies: neither slows nor is slowed
};

// What the engine replays: a frozen directed acyclic graph of tasks.
//
// Model. A task runs for `duration` once all its predecessors are done and, when it is on a stream,
// once every earlier task of that stream (in order of id) is done: a stream runs one task at a
// time, in issue order. A task on no stream is a pure delay: a latency, a join of ranks. A stream
// belongs to a domain (a device). While a stream of class `kBackground` of a domain runs, streams
// of class `kForeground` of the same domain run at `foreground_rate` of their speed, and the other
// way round at `background_rate`; with both 1, or where no domain has streams of both classes,
// nothing interferes and the graph needs no heap.
//
// Invariants. Ids are in topological order: every edge goes from a smaller id to a larger one, so
// there are no cycles by construction. Successors of a task are sorted by id, whatever the order of
// insertion; an edge added twice is there twice, in the successors and in the indegree, and means
// the same as once. Nothing in here knows a GPU, a plan or a name; what a task means is beside the
// graph, indexed by id.
class TaskGraph {
 public:
  // 16 bytes, read once a task by the replay.
  struct Hot {
    std::int64_t duration_ps;
    StreamId stream;
    std::uint32_t indegree;  // explicit predecessors, without the stream's own order
  };

  std::size_t size() const { return hot_.size(); }
  std::size_t edge_count() const { return successors_.size(); }
  std::size_t stream_count() const { return stream_domain_.size(); }
  const Hot& hot(TaskId t) const { return hot_[t]; }
  std::span<const TaskId> successors(TaskId t) const {
    return {successors_.data() + offsets_[t], successors_.data() + offsets_[t + 1]};
  }
  // Tasks of a stream in issue order.
  std::span<const TaskId> stream_tasks(StreamId s) const {
    return {stream_tasks_.data() + stream_offsets_[s],
            stream_tasks_.data() + stream_offsets_[s + 1]};
  }
  std::uint32_t domain(StreamId s) const { return stream_domain_[s]; }
  StreamClass stream_class(StreamId s) const { return stream_class_[s]; }
  bool background(StreamId s) const { return stream_class_[s] == StreamClass::kBackground; }
  double foreground_rate() const { return foreground_rate_; }
  double background_rate() const { return background_rate_; }
  bool interferes() const { return interferes_; }

 private:
  friend class TaskGraphBuilder;
  std::vector<Hot> hot_;
  std::vector<std::uint32_t> offsets_;  // CSR, size() + 1
  std::vector<TaskId> successors_;
  std::vector<std::uint32_t> stream_offsets_;
  std::vector<TaskId> stream_tasks_;
  std::vector<std::uint32_t> stream_domain_;
  std::vector<StreamClass> stream_class_;
  double foreground_rate_ = 1.0;
  double background_rate_ = 1.0;
  bool interferes_ = false;
};

// Builds a graph. Tasks and edges are appended in any order as long as every edge goes forward
// (from < to); freeze() sorts the edges into CSR. A broken precondition throws std::logic_error.
class TaskGraphBuilder {
 public:
  StreamId add_stream(std::uint32_t domain, StreamClass cls);
  TaskId add_task(StreamId stream, SimTime duration);
  // `to` starts after `from` ends. Precondition: from < to.
  void add_edge(TaskId from, TaskId to);
  // Precondition: 0 < rate <= 1. The engine rounds a rate to nine decimals.
  void set_interference(double foreground_rate, double background_rate);
  void reserve(std::size_t tasks, std::size_t edges);
  std::size_t size() const { return hot_.size(); }
  TaskGraph freeze() &&;

 private:
  std::vector<TaskGraph::Hot> hot_;
  std::vector<std::pair<TaskId, TaskId>> edges_;
  std::vector<std::uint32_t> stream_domain_;
  std::vector<StreamClass> stream_class_;
  double foreground_rate_ = 1.0;
  double background_rate_ = 1.0;
};

}  // namespace rehearse
