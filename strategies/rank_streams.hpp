#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "strategies/lowering_state.hpp"

namespace rehearse {

inline constexpr TaskId kNoTask = static_cast<TaskId>(-1);

// The host and the streams of one rank: where its tasks go, and what the next one of a stream waits
// for. The walk says where it is (`step`, `now`, `micro_batch`), and tasks are annotated with that.
//
// Issuing takes host time; what is issued starts no earlier than that plus the launch latency.
template <class Sink>
class RankStreams {
 public:
  using Task = typename Sink::Task;
  using Ready = typename Sink::Ready;
  static constexpr Task kNone = Sink::kNone;

  // StreamKind's, and those of the collectives of segments and the host.
  enum Lane : std::size_t {
    kTensorLane = kStreamKinds,
    kContextLane,
    kExpertLane,
    kHostLane,
    kLanes
  };
  static constexpr std::size_t lane(StreamKind s) { return static_cast<std::size_t>(s); }
  // Of a group whose ranks meet inside segments.
  static std::size_t lane_of(GroupKind g) {
    return g == GroupKind::kContext  ? kContextLane
           : g == GroupKind::kExpert ? kExpertLane
                                     : kTensorLane;
  }

  RankStreams(LoweringState<Sink>& state, std::uint32_t index);

  int step = 0;
  const DigestedStep* now = nullptr;
  std::int32_t micro_batch = 0;  // of the call

  LoweringState<Sink>& state() const { return state_; }
  const RankProgram& rank() const { return rank_; }
  std::uint32_t index() const { return index_; }
  const std::vector<std::int32_t>& members(GroupKind g) const {
    return rank_.groups[static_cast<std::size_t>(g)];
  }
  std::uint64_t placed() const { return placed_; }  // tasks so far

  TaskInfo info(Activity activity, std::uint32_t name, std::uint32_t label) const;

  // A task on a lane after everything it waits for.
  template <class Info>
  Task place(std::size_t l, std::int64_t duration, const Info& make, Task after = kNone,
             const Slowdowns* beside = nullptr, TransferId transfer = kNoTransfer) {
    const StreamId s = stream(l);
    LaneState& ls = lanes_[l];
    const Task t =
        state_.sink.add(s, duration, index_, step, ls.waits, after, make, beside, transfer);
    Sink::clear(ls.waits);
    ls.last = t;
    ++placed_;
    if (Sink::kAnnotates && !state_.options.merge && l != kHostLane) draw_memory(t);
    return t;
  }
  template <class Info>
  Task delay(std::int64_t duration, const Info& make, const Ready& ready, Task after) {
    ++placed_;
    return state_.sink.add(kNoStream, duration, index_, step, ready, after, make);
  }

  Ready mark(std::size_t l) const {
    Ready e = lanes_[l].waits;
    Sink::include(e, lanes_[l].last);
    return e;
  }
  Task last(std::size_t l) const { return lanes_[l].last; }
  void wait_for(std::size_t l, const Ready& e) {
    Sink::include(lanes_[l].waits, e, lanes_[l].last);
  }
  void wait_for_task(std::size_t l, Task t) {
    Ready one{};
    Sink::include(one, t);
    wait_for(l, one);
  }
  void forget_waits(std::size_t l) { Sink::clear(lanes_[l].waits); }

  // Host time, then what was issued may start after the returned task (kNone: at once).
  Task issue(std::int64_t host, std::int64_t lag_from_begin);
  Task issue(std::int64_t host) { return issue(host, host + state_.prices.launch_latency()); }
  // The host goes on when that has happened.
  void synchronize(const Ready& after);

  void remember(const MemoryChange& change);

 private:
  struct LaneState {
    StreamId stream = kNoStream;
    Task last = kNone;
    Ready waits{};  // for the next task
  };

  StreamId stream(std::size_t lane);
  void draw_memory(Task t);

  LoweringState<Sink>& state_;
  std::uint32_t index_;
  const RankProgram& rank_;
  std::array<LaneState, kLanes> lanes_;
  Task host_last_ = kNone;
  std::uint64_t placed_ = 0;
  std::vector<MemoryEvent> allocations_;  // drawn at the next task
  TaskId newest_ = kNoTask;
};

}  // namespace rehearse
