#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "sim/base/sim_time.hpp"
#include "sim/flow/link_sharing.hpp"

namespace rehearse {

using TaskId = std::uint32_t;
using StreamId = std::uint32_t;
inline constexpr StreamId kNoStream = std::numeric_limits<StreamId>::max();

// What tasks of a stream are to each other, unless a task says otherwise.
enum class StreamClass : std::uint8_t {
  kForeground,  // compute
  kBackground,  // communication that overlaps it
  kIndependent  // hosts: neither slows nor is slowed
};

// A class of tasks that are slowed, and slow others, alike. The first three are StreamClass's.
using TaskClass = std::uint8_t;
inline constexpr TaskClass kForegroundTasks = 0, kBackgroundTasks = 1, kIndependentTasks = 2;
inline constexpr std::size_t kMaxTaskClasses = 64;
inline constexpr TaskClass kNoTaskClass = 0xff;

// What a task moves over links: at full speed it takes demand * weight of each link that it
// crosses, whose capacity is 1. Links are shared max-min fairly by rate, which is `demand` at full
// speed.
struct Transfer {
  double demand = 1;
  std::vector<Crossing> crossings;
  bool operator==(const Transfer&) const = default;
};
using TransferId = std::uint32_t;
inline constexpr TransferId kNoTransfer = std::numeric_limits<TransferId>::max();

// What the engine replays: a frozen directed acyclic graph of tasks.
//
// Model. A task runs for `duration` once all its predecessors are done and, when it is on a stream,
// once every earlier task of that stream (in order of id) is done: a stream runs one task at a
// time, in issue order. A task on no stream is a pure delay: a latency, a join of ranks. A stream
// belongs to a domain (a device). A task has a class: its stream's, or one of its own. While tasks
// run on other streams of its domain, a task runs at the least of rate(its class, theirs) of its
// speed. Where all rates between the classes of a domain's streams are 1, nothing interferes and
// the graph needs no heap. A task may hold its stream: from its end to the start of the stream's
// next task it slows others as one of a given class would that runs there, as a kernel does that
// spins until another device is there.
//
// A task on a stream may be a transfer: while it runs it takes its part of links, and where those
// of one instant want more of a link than it has, they share it (LinkSharing) and go at the rate
// that they get, or at that of their class where it is less. Links that all streams together can
// never fill are left out when the graph is frozen: there a transfer is a task like any other.
//
// Invariants. Ids are in topological order: every edge goes from a smaller id to a larger one, so
// there are no cycles by construction. Successors of a task are sorted by id, whatever the order of
// insertion; an edge added twice is there twice, in the successors and in the indegree, and means
// the same as once. Nothing in here knows a GPU, a plan or a name; what a task means is beside the
// graph, indexed by id.
class TaskGraph {
 public:
  // 16 bytes: all that a replay reads of a task, besides its class where those matter.
  struct Hot {
    std::int64_t duration_ps;
    StreamId stream;
    std::uint32_t first_successor;  // of successors_; they end where the next task's begin
  };

  std::size_t size() const { return indegree_.size(); }
  std::size_t edge_count() const { return successors_.size(); }
  std::size_t stream_count() const { return stream_domain_.size(); }
  const Hot& hot(TaskId t) const { return hot_[t]; }
  std::span<const TaskId> successors(TaskId t) const {
    return {successors_.data() + hot_[t].first_successor,
            successors_.data() + hot_[t + 1].first_successor};
  }
  // Explicit predecessors, without the stream's own order.
  std::uint32_t indegree(TaskId t) const { return indegree_[t]; }
  // Tasks of a stream in issue order.
  std::span<const TaskId> stream_tasks(StreamId s) const {
    return {stream_tasks_.data() + stream_offsets_[s],
            stream_tasks_.data() + stream_offsets_[s + 1]};
  }
  std::uint32_t domain(StreamId s) const { return stream_domain_[s]; }
  StreamClass stream_class(StreamId s) const { return stream_class_[s]; }
  bool background(StreamId s) const { return stream_class_[s] == StreamClass::kBackground; }
  TaskClass task_class(TaskId t) const { return task_class_[t]; }
  std::size_t class_count() const { return classes_; }
  // Of a task of class `a` while one of class `b` runs on another stream of its domain.
  double rate(TaskClass a, TaskClass b) const { return rates_[a * classes_ + b]; }
  double foreground_rate() const { return rate(kForegroundTasks, kBackgroundTasks); }
  double background_rate() const { return rate(kBackgroundTasks, kForegroundTasks); }
  // Whether tasks have other durations than their own: classes slow each other, or transfers meet.
  bool interferes() const { return interferes_ || link_count_ > 0; }
  bool classes_interfere() const { return interferes_; }
  // Links that may fill up, and what a task takes of them; kNoTransfer: nothing.
  std::size_t link_count() const { return link_count_; }
  TransferId transfer_of(TaskId t) const {
    return t < task_transfer_.size() ? task_transfer_[t] : kNoTransfer;
  }
  const Transfer& transfer(TransferId t) const { return transfers_[t]; }
  bool holds(TaskId t) const { return t < holds_.size() && holds_[t] != kNoTaskClass; }
  // The class as which others see the stream of a task that holds it.
  TaskClass held_as(TaskId t) const { return holds_[t]; }

 private:
  friend class TaskGraphBuilder;
  std::vector<Hot> hot_;  // size() + 1, for the last successors' end
  std::vector<std::uint32_t> indegree_;
  std::vector<TaskId> successors_;
  std::vector<std::uint32_t> stream_offsets_;
  std::vector<TaskId> stream_tasks_;
  std::vector<std::uint32_t> stream_domain_;
  std::vector<StreamClass> stream_class_;
  std::vector<TaskClass> task_class_;
  std::vector<TaskClass> holds_;  // up to the last task that does
  std::size_t classes_ = 0;
  std::vector<double> rates_;  // classes_ by classes_
  bool interferes_ = false;
  std::size_t link_count_ = 0;
  std::vector<Transfer> transfers_;
  std::vector<TransferId> task_transfer_;  // up to the last task that has one
};

// Builds a graph. Tasks and edges are appended in any order as long as every edge goes forward
// (from < to); freeze() sorts the edges into CSR. A broken precondition throws std::logic_error.
class TaskGraphBuilder {
 public:
  StreamId add_stream(std::uint32_t domain, StreamClass cls);
  TaskId add_task(StreamId stream, SimTime duration);
  TaskId add_task(StreamId stream, SimTime duration, TaskClass cls);
  LinkId add_link() { return static_cast<LinkId>(links_++); }
  // Precondition: links exist, each at most once; the demand and the weights are positive.
  TransferId add_transfer(Transfer transfer);
  // Precondition: the task is on a stream.
  void set_transfer(TaskId t, TransferId transfer);
  // `to` starts after `from` ends. Precondition: from < to.
  void add_edge(TaskId from, TaskId to);
  // A new class: full rate beside all others, until set_rate says otherwise.
  TaskClass add_class();
  // Precondition: the task is on a stream.
  void hold(TaskId t, TaskClass as);
  // Precondition: 0 < rate <= 1. The engine rounds a rate to nine decimals.
  void set_rate(TaskClass of, TaskClass beside, double rate);
  // The same between tasks of foreground and background streams.
  void set_interference(double foreground_rate, double background_rate);
  void reserve(std::size_t tasks, std::size_t edges);
  std::size_t size() const { return hot_.size(); }
  TaskGraph freeze() &&;

 private:
  std::vector<TaskGraph::Hot> hot_;
  std::vector<std::pair<TaskId, TaskId>> edges_;
  std::vector<std::uint32_t> stream_domain_;
  bool some_domain_interferes() const;
  void leave_out_roomy_links();

  std::vector<StreamClass> stream_class_;
  std::vector<TaskClass> task_class_;
  std::vector<TaskClass> holds_;
  std::vector<std::uint64_t> stream_classes_;  // of a stream's tasks, one bit a class
  std::size_t classes_ = 3;
  std::vector<double> rates_ = std::vector<double>(kMaxTaskClasses * kMaxTaskClasses, 1.0);
  std::size_t links_ = 0;
  std::vector<Transfer> transfers_;
  std::vector<TransferId> task_transfer_;
};

}  // namespace rehearse
