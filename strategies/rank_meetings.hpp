#pragma once

#include <array>
#include <cstdint>

#include "strategies/rank_streams.hpp"

namespace rehearse {

// Collectives of one rank: it meets the simulated members of its group, and then each of them has a
// task of the collective's time. Where all others are folded into it there is nobody to meet.
template <class Sink>
class RankMeetings {
 public:
  explicit RankMeetings(RankStreams<Sink>& streams) : streams_(streams), state_(streams.state()) {}

  // Whether this rank is at the meeting, and waits for others.
  bool arrived() const { return arrived_; }

  // The collective on a lane, once all are there; false: some have still to arrive. `index`: of
  // Prices::collectives.
  template <class Info>
  bool run(std::size_t lane, GroupKind of, std::int32_t index, std::int64_t time,
           const Info& make) {
    const TransferId transfer = state_.transfer(streams_.index(), index);
    const auto kind = static_cast<std::size_t>(of);
    const auto& group = streams_.members(of);
    if (group.size() <= 1) {
      streams_.place(lane, time, make, Sink::kNone, nullptr, transfer);
      return true;
    }
    auto& meeting = state_.meeting(kind, group.front(), met_[kind] + 1);
    if (!arrived_) {
      arrived_ = true;
      const auto joining = [&] {
        TaskInfo join = make();
        join.activity = Activity::kJoin;
        join.collective = -1;
        return join;
      };
      Sink::include(meeting.arrivals, streams_.place(lane, 0, joining));
      if (++meeting.arrived == group.size())
        meeting.done = state_.sink.add(kNoStream, 0, kNobody, streams_.step, meeting.arrivals,
                                       Sink::kNone, joining);
    }
    if (meeting.arrived < group.size()) return false;
    streams_.place(lane, time, make, meeting.done, nullptr, transfer);
    ++met_[kind];
    arrived_ = false;
    return true;
  }

 private:
  RankStreams<Sink>& streams_;
  LoweringState<Sink>& state_;
  std::array<std::uint32_t, kGroupKinds> met_{};
  bool arrived_ = false;
};

}  // namespace rehearse
