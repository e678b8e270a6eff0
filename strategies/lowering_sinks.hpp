#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "sim/flow/occupancy.hpp"
#include "strategies/lower.hpp"
#include "strategies/pass_digest.hpp"
#include "strategies/priced_segment.hpp"

namespace rehearse {

// Where the walk over the ranks of a program (RankLowering) puts the tasks that it finds, in
// topological order. A sink has
//   Task    what a task is known by afterwards; kNone: none, and waiting for it is no wait
//   Ready   what a task that is still to come will wait for
//   add()   a task on a stream (kNoStream: a delay) that starts when its stream is free and all of
//           `ready` and `after` have ended; `info` makes its TaskInfo, where anybody wants it.
//           `beside`: of a kernel of the compute stream and a collective; null for other tasks
//           `transfer`: what it takes of links, as add_transfer() knows it
//   hold()  the stream slows others, as a collective that waits, until its next task starts.

// The device of a task that is nobody's: where ranks meet.
inline constexpr std::uint32_t kNobody = static_cast<std::uint32_t>(-1);

// Builds the graph and its annotations.
class GraphSink {
 public:
  using Task = TaskId;
  using Ready = std::vector<TaskId>;
  static constexpr Task kNone = static_cast<TaskId>(-1);
  static constexpr bool kAnnotates = true;

  GraphSink(const Program& program, const Cluster& cluster, const LowerOptions& options);

  StreamId add_stream(std::uint32_t device, StreamClass cls, const char* name);
  template <class Info>
  Task add(StreamId stream, std::int64_t duration, std::uint32_t, int, const Ready& ready,
           Task after, const Info& info, const Slowdowns* beside = nullptr,
           TransferId transfer = kNoTransfer) {
    const TaskId t = beside != nullptr
                         ? builder_.add_task(stream, SimTime(duration), kernels_slowed(*beside))
                         : builder_.add_task(stream, SimTime(duration));
    notes.tasks.push_back(info());
    for (const TaskId r : ready) builder_.add_edge(r, t);
    if (after != kNone) builder_.add_edge(after, t);
    if (transfer != kNoTransfer) builder_.set_transfer(t, transfer);
    return t;
  }
  void add_links(std::size_t links) {
    for (std::size_t l = 0; l < links; ++l) builder_.add_link();
  }
  TransferId add_transfer(const Transfer& t) { return builder_.add_transfer(t); }
  void hold(Task t) { builder_.hold(t, waiting_); }
  // A rank is at a call of its steps, the `number`-th of them all.
  void mark_call(std::uint32_t rank, std::size_t number) {
    if (!marks_calls_ || calls_[rank].size() > number) return;
    calls_[rank].push_back(static_cast<TaskId>(builder_.size()));
  }
  static void include(Ready& ready, Task t) {
    if (t != kNone) ready.push_back(t);
  }
  // Waits for all of `more` but what `known` already says.
  static void include(Ready& ready, const Ready& more, Task known) {
    for (const TaskId t : more)
      if (t != known && std::find(ready.begin(), ready.end(), t) == ready.end()) ready.push_back(t);
  }
  static void clear(Ready& ready) { ready.clear(); }

  std::uint32_t intern(const std::string& name);
  std::uint32_t name_of(std::uint32_t program_name) const {
    return names_of_program_[program_name];
  }
  // The share of a run of segments, or parts of them, on a machine of the program.
  std::int32_t share_of(std::size_t machine, const std::vector<RunPart>& run, const Prices& prices,
                        const Program& program);
  Lowered finish(const Prices& prices) &&;

  Annotations notes;

 private:
  // The class of the compute stream's kernels with these slowdowns.
  TaskClass kernels_slowed(const Slowdowns& slowdowns);

  TaskGraphBuilder builder_;
  bool marks_calls_ = false;
  std::vector<std::vector<TaskId>> calls_;  // see Lowered
  SideBySide beside_;
  TaskClass waiting_;  // of collectives that wait for other ranks
  std::vector<std::pair<Slowdowns, TaskClass>> kernels_;
  std::map<std::pair<std::size_t, std::vector<RunPart>>, std::int32_t> shares_;
  std::map<std::string, std::uint32_t> names_;
  std::vector<std::uint32_t> names_of_program_;
};

// The step of the slowest rank, as step_window() finds it: by when each rank ends it, and when it
// ended the one before (nothing: there was none). Without tasks.
StepTimes slowest_step(const Program& program, const std::vector<std::int64_t>& ends,
                       const std::vector<std::int64_t>& before);

// Keeps no task: knows when each ends, as sweep() would, because everything that a task waits for
// has been walked before it. For graphs without interference alone; where transfers meet it says
// so, and its times are those of transfers that do not slow each other.
class ClockSink {
 public:
  using Task = std::int64_t;   // its end, in picoseconds
  using Ready = std::int64_t;  // the latest of several
  static constexpr Task kNone = 0;
  static constexpr bool kAnnotates = false;

  ClockSink(const Program& program, const Cluster& cluster, const LowerOptions& options);

  StreamId add_stream(std::uint32_t, StreamClass, const char*) {
    free_.push_back(0);
    return static_cast<StreamId>(free_.size() - 1);
  }
  template <class Info>
  Task add(StreamId stream, std::int64_t duration, std::uint32_t device, int step, Ready ready,
           Task after, const Info&, const Slowdowns* = nullptr, TransferId transfer = kNoTransfer) {
    std::int64_t start = std::max(ready, after);
    if (stream != kNoStream) start = std::max(start, free_[stream]);
    std::int64_t end = 0;
    if (__builtin_add_overflow(start, duration, &end))
      throw std::overflow_error("simulated time passes 106 days");
    if (stream != kNoStream) free_[stream] = end;
    ++tasks_;
    if (transfer != kNoTransfer)
      for (const Crossing& c : transfers_[transfer].crossings)
        links_.add(c.link, start, end, transfers_[transfer].demand * c.weight);
    if (device != kNobody) {
      std::int64_t& last = ends_[static_cast<std::size_t>(step)][device];
      last = std::max(last, end);
    }
    return end;
  }
  void hold(Task) {}
  void mark_call(std::uint32_t, std::size_t) {}
  void add_links(std::size_t links) { links_ = Occupancy(links); }
  TransferId add_transfer(const Transfer& t) {
    transfers_.push_back(t);
    return static_cast<TransferId>(transfers_.size() - 1);
  }
  static void include(Ready& ready, Task t) { ready = std::max(ready, t); }
  static void include(Ready& ready, Ready more, Task) { ready = std::max(ready, more); }
  static void clear(Ready& ready) { ready = 0; }
  StepTimes finish();

 private:
  const Program& program_;
  std::vector<std::int64_t> free_;               // by stream
  std::vector<std::vector<std::int64_t>> ends_;  // by step and device
  std::uint64_t tasks_ = 0;
  std::vector<Transfer> transfers_;
  Occupancy links_{0};
};

}  // namespace rehearse
