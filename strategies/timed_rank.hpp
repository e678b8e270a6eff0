#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

#include "sim/engine/flow_schedule.hpp"
#include "strategies/clock_code.hpp"

namespace rehearse {

// A stream of a rank that is walked in order of time: when it is free, which may be when its last
// flow ends, and what its next task waits for.
struct TimedLane {
  std::int64_t free = 0;
  FlowSchedule::Id last = FlowSchedule::kNone;
  FlowSchedule::Ready waits;
};

// Runs of segments that have been issued and are still to end, or to begin.
struct IssuedRun {
  std::vector<const ClockOp*> ops;
  int step = 0;
  std::int64_t host = 0;  // when the host goes on to the next of `ops`
  FlowSchedule::Ready waits;
  FlowSchedule::Id promise = FlowSchedule::kNone;  // of its end
  // Of what is gathered and so many of `ops`, while they are under way; and whether something has
  // come beside the first.
  FlowSchedule::Id guard = FlowSchedule::kNone;
  std::size_t guarded = 0;
  bool disturbed = false;
  FlowSchedule::Id blocked_on = FlowSchedule::kNone;  // before it can go on
  // The segment that is walked instruction by instruction, kernels that have no task yet, and the
  // task of those before them where its end is not known.
  const ClockCode* apart = nullptr;
  std::size_t at = 0;
  Run kernels;
  Slowdowns slowdowns;
  bool single = false;
  FlowSchedule::Id working = FlowSchedule::kNone;
};

// Where a rank is in its steps, and its clocks.
struct TimedRank {
  struct Route {
    std::int32_t peer = 0;
    Bytes bytes{0};
    std::int64_t occupied = 0, latency = 0;
    TransferId transfer = kNoTransfer;
  };
  struct Message {
    std::int32_t from = 0;
    std::uint32_t tag = 0;
    int step = 0;
    FlowSchedule::Ready sent;
  };

  const RankProgram* rank = nullptr;
  std::vector<const ClockCode*> passes;
  bool apart = false;               // what is in its segments is always walked apart
  TransferId inside = kNoTransfer;  // what collectives of segments may take of links
  std::vector<Route> outward, inward;
  std::vector<StepList::Stretch> stretches;

  std::array<TimedLane, kClockLanes> lanes;  // but for the host's
  std::int64_t host = 0;
  std::vector<FlowSchedule::Ready> events;
  std::vector<Message> inbox;
  int step = 0;
  std::size_t call = 0, at = 0;
  std::int32_t micro_batch = 0;
  FlowSchedule::Id blocked_on = FlowSchedule::kNone;
  std::array<std::uint32_t, kGroupKinds> met{};
  std::vector<const ClockOp*> gathered;        // runs that have no task yet
  std::vector<const ClockOp*> spare;           // empty: memory for what is gathered next
  std::vector<IssuedRun> runs;                 // few
  std::vector<std::uint64_t> waited_for_host;  // by step: tasks that did
  std::int64_t issued = 0;                     // when the host had issued its last step

  const std::vector<std::int32_t>& members(GroupKind g) const {
    return rank->groups[static_cast<std::size_t>(g)];
  }
  // The stretch that it is in, if it is in one.
  const StepList::Stretch* stretch() const {
    for (const StepList::Stretch& s : stretches)
      if (call >= s.begin && call < s.end()) return &s;
    return nullptr;
  }
};

// A collective of a group's ranks: it begins on each when all have come to it.
struct TimedMeeting {
  std::uint32_t number = 0;  // of the group's; from 1
  std::size_t joined = 0;    // ranks that have issued it
  // When the last of them is there: known of some, and still to be known of others.
  std::int64_t arrival = 0;
  std::vector<FlowSchedule::Ready> arrivals;
  FlowSchedule::Id promise = FlowSchedule::kNone;
};
// Of one group, those that have still to begin, in order.
using TimedMeetings = std::deque<TimedMeeting>;

}  // namespace rehearse
