#include "sim/engine/replay.hpp"

#include <limits>
#include <span>
#include <stdexcept>
#include <utility>

#include "sim/base/huge_pages.hpp"
#include "sim/engine/completions.hpp"
#include "sim/engine/interference.hpp"

namespace rehearse {
namespace {

// The event engine.
//
// Model. Time jumps from instant to instant at which some task ends. In an instant all tasks that
// end are completed, in order of id; each lowers the pending counts of its successors and of the
// next task of its stream, and a count that reaches zero starts that task at once. A task without
// duration is completed in the same instant. When no more task ends now, the rates of the domains
// are settled. Nothing that happens within an instant depends on the order there: counts commute,
// and rates are settled afterwards.
//
// Memory. A task's data is touched when it starts and when it ends, and between two starts of a
// stream about as many events pass as there are streams. So at a start what later ones of the
// stream will need is prefetched, a step of indirection at a time: ids of tasks, then what belongs
// to a task, then its successors' ids, then their counts. Everything is allocated by the
// constructor: run() allocates nothing.
template <bool kInterferes>
class Replay {
 public:
  explicit Replay(const TaskGraph& graph);
  Timeline run() &&;

 private:
  static constexpr TaskId kNoTask = std::numeric_limits<TaskId>::max();
  // The tasks of a stream that have not started. The first is kept here too, because the end of the
  // one before asks for it.
  struct Queue {
    std::span<const TaskId> tasks;
    TaskId first = kNoTask;
  };

  // Returns whether the task is under way; one without duration waits for completion instead.
  bool start(TaskId t);
  void complete(TaskId t, StreamId stream);
  void complete_instant_tasks();
  void drop_pending(TaskId t) {
    if (--pending(t) == 0) start(t);
  }
  // Predecessors that are not done, the stream's order included. Until a task starts they are
  // counted where its start will be written: no array beside the outputs.
  std::int64_t& pending(TaskId t) { return timeline_.start[t].ps; }
  void leave_queue(TaskId t, StreamId stream);
  void pop_delay();

  const TaskGraph& graph_;
  const std::uint32_t delay_slot_;  // the tree's last slot stands for the heap of delays
  std::int64_t now_ = 0;
  std::uint64_t moved_ = 0;
  Timeline timeline_;
  std::vector<Queue> queues_;    // by stream
  std::vector<TaskId> instant_;  // tasks without duration, to be completed now
  CompletionTree completions_;
  DelayHeap delays_;
  Interference interference_;
};

template <bool kInterferes>
Replay<kInterferes>::Replay(const TaskGraph& graph)
    : graph_(graph),
      delay_slot_(static_cast<std::uint32_t>(graph.stream_count())),
      queues_(graph.stream_count()),
      completions_(delay_slot_ + 1),
      interference_(graph) {
  resize_large(timeline_.start, graph.size());
  resize_large(timeline_.end, graph.size());
  std::size_t instants = 0;
  std::size_t delays = 0;
  for (TaskId t = 0; t < graph.size(); ++t) {
    const TaskGraph::Hot& hot = graph.hot(t);
    const bool delay = hot.stream == kNoStream;
    pending(t) = graph.indegree(t) + (delay ? 0 : 1);
    instants += hot.duration_ps == 0 ? 1 : 0;
    delays += delay ? 1 : 0;
  }
  for (StreamId s = 0; s < graph.stream_count(); ++s) {
    const auto tasks = graph.stream_tasks(s);
    queues_[s].tasks = tasks;
    if (!tasks.empty()) --pending(tasks.front());
  }
  instant_.reserve(instants);
  delays_.reserve(delays);
}

// Takes a task that starts from its stream's queue, and prefetches for those behind it.
template <bool kInterferes>
inline void Replay<kInterferes>::leave_queue(TaskId t, StreamId stream) {
  constexpr std::size_t kLineOfIds = 16;
  Queue& queue = queues_[stream];
  const auto tasks = queue.tasks = queue.tasks.subspan(1);
  queue.first = tasks.empty() ? kNoTask : tasks[0];
  if (tasks.size() > 1) {
    __builtin_prefetch(&graph_.hot(tasks[1]));
    __builtin_prefetch(&timeline_.start[tasks[1]], 1);
    __builtin_prefetch(&timeline_.end[tasks[1]], 1);
    __builtin_prefetch(graph_.successors(tasks[0]).data());
  }
  if (tasks.size() > kLineOfIds) __builtin_prefetch(&tasks[kLineOfIds]);
  for (const TaskId next : graph_.successors(t)) __builtin_prefetch(&timeline_.start[next], 1);
}

template <bool kInterferes>
bool Replay<kInterferes>::start(TaskId t) {
  const TaskGraph::Hot& hot = graph_.hot(t);
  timeline_.start[t].ps = now_;
  if (hot.stream != kNoStream) leave_queue(t, hot.stream);
  if (kInterferes && hot.stream != kNoStream) interference_.release(hot.stream);
  if (hot.duration_ps == 0) {
    instant_.push_back(t);
    return false;
  }
  std::int64_t end = 0;
  if (kInterferes && hot.stream != kNoStream && interference_.tracks(hot.stream)) {
    end = interference_.begin(hot.stream, t, now_);
  } else if (__builtin_add_overflow(now_, hot.duration_ps, &end)) {
    throw std::overflow_error("simulated time passes 106 days");
  }
  if (hot.stream != kNoStream) {
    completions_.set(hot.stream, end, t);
  } else {
    delays_.push(Completion(end, t, delay_slot_));
    completions_.set(delay_slot_, delays_.first().time_ps(), delays_.first().task());
  }
  return true;
}

template <bool kInterferes>
void Replay<kInterferes>::complete(TaskId t, StreamId stream) {
  timeline_.end[t].ps = now_;
  if (stream != kNoStream) {
    if (kInterferes && graph_.holds(t)) interference_.hold(stream, graph_.held_as(t));
    const TaskId next = queues_[stream].first;
    // A stream that goes on at once replaces its completion; clearing it first would cost as much
    // again.
    const bool goes_on = next != kNoTask && --pending(next) == 0 && start(next);
    if (!goes_on) completions_.clear(stream);
  }
  for (const TaskId next : graph_.successors(t)) drop_pending(next);
}

template <bool kInterferes>
void Replay<kInterferes>::complete_instant_tasks() {
  while (!instant_.empty()) {
    const TaskId t = instant_.back();
    instant_.pop_back();
    complete(t, graph_.hot(t).stream);
  }
}

template <bool kInterferes>
void Replay<kInterferes>::pop_delay() {
  delays_.pop();
  if (delays_.empty()) {
    completions_.clear(delay_slot_);
  } else {
    completions_.set(delay_slot_, delays_.first().time_ps(), delays_.first().task());
  }
}

template <bool kInterferes>
Timeline Replay<kInterferes>::run() && {
  for (TaskId t = 0; t < graph_.size(); ++t) {
    if (pending(t) == 0) start(t);
  }
  for (;;) {
    complete_instant_tasks();
    if constexpr (kInterferes) {
      if (completions_.first().time_ps() != now_)
        moved_ += interference_.settle(now_, completions_);
    }
    const Completion first = completions_.first();
    if (first.time_ps() == CompletionTree::kNever) break;
    now_ = first.time_ps();
    if (first.slot() == delay_slot_) {
      pop_delay();
      complete(first.task(), kNoStream);
    } else {
      if (kInterferes && interference_.tracks(first.slot())) interference_.finish(first.slot());
      complete(first.task(), first.slot());
    }
  }
  timeline_.makespan = SimTime(now_);
  timeline_.events = 2 * static_cast<std::uint64_t>(graph_.size()) + moved_;
  return std::move(timeline_);
}

}  // namespace

Timeline replay(const TaskGraph& graph) {
  return graph.interferes() ? Replay<true>(graph).run() : Replay<false>(graph).run();
}

}  // namespace rehearse
