#include "strategies/timed_state.hpp"

#include <algorithm>
#include <bit>

namespace rehearse {
namespace {

std::int64_t number(const void* p) { return reinterpret_cast<std::intptr_t>(p); }

class Description {
 public:
  Description(TimedClocks& clocks, std::vector<std::int64_t>& out) : clocks_(clocks), out_(out) {}

  void rank(TimedRank& r, const TimedOrigin& origin) {
    add({static_cast<std::int64_t>(r.call) - origin.call, static_cast<std::int64_t>(r.at),
         to_come(r.host), static_cast<std::int64_t>(r.runs.size())});
    for (const ClockOp* op : r.gathered) add({number(op)});
    for (IssuedRun& run : r.runs) this->run(run, r.step);
    flow(r.blocked_on);
    for (TimedLane& l : r.lanes) lane(l);
    for (FlowSchedule::Ready& e : r.events) ready(e);
    for (TimedRank::Message& m : r.inbox) {
      add({m.from, static_cast<std::int64_t>(m.tag) - origin.micro_batch, m.step - r.step});
      ready(m.sent);
    }
  }

  // `of`: as in state_of().
  void meetings(std::size_t of, TimedMeetings& open) {
    const std::vector<TimedRank>& ranks = clocks_.ranks;
    add({static_cast<std::int64_t>(open.size())});
    if (open.empty()) return;
    const std::size_t kind = of / ranks.size();
    for (const std::int32_t m : ranks[of % ranks.size()].rank->groups[kind])
      add({std::int64_t{ranks[static_cast<std::size_t>(m)].met[kind]} - open.front().number});
    for (TimedMeeting& m : open) {
      add({static_cast<std::int64_t>(m.joined), to_come(m.arrival)});
      for (FlowSchedule::Ready& r : m.arrivals) ready(r);
    }
  }

  void flows() {
    clocks_.flows.describe(out_);
    clocks_.flows.for_each_open([&](FlowSchedule::Id f) {
      const TimedClocks::Owner of = clocks_.owner(f);
      add({of.step - clocks_.ranks[of.rank].step});
    });
  }

 private:
  void add(std::initializer_list<std::int64_t> numbers) {
    out_.insert(out_.end(), numbers.begin(), numbers.end());
  }
  std::int64_t to_come(std::int64_t time) const { return clocks_.flows.to_come(time); }
  void flow(FlowSchedule::Id f) { clocks_.flows.describe(f, out_); }
  void ready(FlowSchedule::Ready& r) {
    clocks_.flows.settle(r);
    clocks_.flows.describe(r, out_);
  }
  void lane(TimedLane& l) {
    if (l.last != FlowSchedule::kNone && clocks_.flows.ended(l.last)) {
      l.free = clocks_.flows.end(l.last);
      l.last = FlowSchedule::kNone;
    }
    add({to_come(l.free)});
    flow(l.last);
    ready(l.waits);
  }
  void run(IssuedRun& r, int step) {
    for (const ClockOp* op : r.ops) add({number(op)});
    add({r.step - step, to_come(r.host), number(r.apart), static_cast<std::int64_t>(r.at),
         r.kernels.duration, r.kernels.host, r.kernels.latest, r.single,
         static_cast<std::int64_t>(r.guarded), r.disturbed});
    for (const double slowdown : {r.slowdowns.kernel, r.slowdowns.collective, r.slowdowns.waiting})
      add({std::bit_cast<std::int64_t>(slowdown)});
    ready(r.waits);
    for (const FlowSchedule::Id of : {r.promise, r.guard, r.blocked_on, r.working}) flow(of);
  }

  TimedClocks& clocks_;
  std::vector<std::int64_t>& out_;
};

}  // namespace

TimedState state_of(TimedClocks& clocks, std::vector<TimedMeetings>& meetings,
                    const std::vector<TimedOrigin>& origins) {
  TimedState out;
  out.now = clocks.flows.now();
  Description description(clocks, out.numbers);
  for (std::size_t r = 0; r < clocks.ranks.size(); ++r) {
    TimedRank& rank = clocks.ranks[r];
    out.ranks.push_back({rank.host, rank.waited_for_host[static_cast<std::size_t>(rank.step)],
                         rank.call, rank.met});
    description.rank(rank, origins[r]);
  }
  for (std::size_t of = 0; of < meetings.size(); ++of) description.meetings(of, meetings[of]);
  description.flows();
  return out;
}

}  // namespace rehearse
