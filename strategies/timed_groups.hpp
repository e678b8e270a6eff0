#pragma once

#include <cstddef>
#include <unordered_map>
#include <vector>

#include "strategies/timed_clocks.hpp"

namespace rehearse {

// Collectives of groups of which several ranks are walked: each begins on every rank when all have
// come to it. No rank waits here for another: what it has still to know is a flow's promise.
class TimedGroups {
 public:
  explicit TimedGroups(TimedClocks& clocks)
      : clocks_(clocks), open_(clocks.ranks.size() * kGroupKinds) {}

  // The rank that is walked comes to its group's next collective, on a lane of which mark()
  // succeeds: when that begins.
  FlowSchedule::Ready join(GroupKind group, std::size_t lane);
  // A flow has ended.
  void tell(FlowSchedule::Id flow) {
    if (!waiting_.empty()) tell_waiting(flow);
  }

  // By kind of group and first member.
  std::vector<TimedMeetings>& open() { return open_; }

 private:
  void begin(std::size_t of);
  void tell_waiting(FlowSchedule::Id flow);

  TimedClocks& clocks_;
  std::vector<TimedMeetings> open_;
  std::unordered_multimap<FlowSchedule::Id, std::size_t> waiting_;  // meetings, by flow
};

}  // namespace rehearse
