#include "strategies/timed_groups.hpp"

#include <algorithm>

namespace rehearse {

FlowSchedule::Ready TimedGroups::join(GroupKind group, std::size_t lane) {
  TimedClocks& c = clocks_;
  const auto kind = static_cast<std::size_t>(group);
  const std::size_t of =
      kind * c.ranks.size() + static_cast<std::size_t>(c.now->members(group).front());
  const std::uint32_t number = ++c.now->met[kind];
  TimedMeetings& open = open_[of];
  if (open.empty() || open.back().number < number) {
    open.push_back({number, 0, 0, {}, c.flows.promise(c.ranks.size() * kClockLanes + of)});
    c.own(open.back().promise);
  }
  TimedMeeting& meeting = open[number - open.front().number];
  FlowSchedule::Ready arrival;
  c.mark(lane, arrival);
  ++c.tasks;
  ++meeting.joined;
  if (arrival.after == FlowSchedule::kNone)
    meeting.arrival = std::max(meeting.arrival, arrival.at);
  else
    meeting.arrivals.push_back(arrival);
  const FlowSchedule::Ready all{0, meeting.promise, 0};
  begin(of);
  return all;
}

// The collectives that all have come to.
void TimedGroups::begin(std::size_t of) {
  TimedClocks& c = clocks_;
  const auto kind = static_cast<GroupKind>(of / c.ranks.size());
  const std::size_t members = c.ranks[of % c.ranks.size()].members(kind).size();
  TimedMeetings& open = open_[of];
  while (!open.empty() && open.front().joined == members) {
    TimedMeeting& meeting = open.front();
    while (!meeting.arrivals.empty() && c.flows.settle(meeting.arrivals.back())) {
      meeting.arrival = std::max(meeting.arrival, meeting.arrivals.back().at);
      meeting.arrivals.pop_back();
    }
    if (!meeting.arrivals.empty()) {
      waiting_.emplace(meeting.arrivals.back().after, of);
      return;
    }
    ++c.tasks;
    c.flows.fulfil(meeting.promise, meeting.arrival);
    c.tell(meeting.promise);
    open.pop_front();
  }
}

void TimedGroups::tell_waiting(FlowSchedule::Id flow) {
  const auto [from, to] = waiting_.equal_range(flow);
  std::vector<std::size_t> of;
  for (auto w = from; w != to; ++w) of.push_back(w->second);
  waiting_.erase(from, to);
  for (const std::size_t meeting : of) begin(meeting);
}

}  // namespace rehearse
