#include "strategies/timed_periods.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <stdexcept>
#include <utility>

namespace rehearse {

void TimedPeriods::leave_out() {
  const TimedRank& first = ranks_.front();
  const StepList::Stretch* s = first.stretch();
  if (s == nullptr || flows_.breaking()) return;
  const auto period = [&] { return (first.call - s->begin) / s->period; };
  if (s != stretch_ || first.step != step_) {
    stretch_ = s;
    step_ = first.step;
    known_.clear();
  } else if (period() == known_.back().period) {
    return;
  }
  Snapshot now = snapshot(period());
  for (const Snapshot& before : known_)
    if (!now.state.empty() && now.state == before.state && repeat(before, now)) {
      now = {};
      now.period = period();
      known_.clear();
      break;
    }
  if (known_.size() == kSnapshots) known_.pop_front();
  known_.push_back(std::move(now));
}

TimedPeriods::Snapshot TimedPeriods::snapshot(std::size_t period) {
  Snapshot out;
  out.period = period;
  out.now = flows_.now();
  for (TimedRank& r : ranks_) {
    const StepList::Stretch* s = r.stretch();
    if (s == nullptr || s->shift != stretch_->shift || r.step != step_) {
      out.state.clear();
      return out;
    }
    out.ranks.push_back({r.host, r.waited_for_host, r.call, r.met});
    describe(r, period, *s, out.state);
  }
  for (std::size_t of = 0; of < meetings_.size(); ++of) {
    TimedMeetings& open = meetings_[of];
    out.state.push_back(static_cast<std::int64_t>(open.size()));
    if (open.empty()) continue;
    const std::size_t kind = of / ranks_.size();
    for (const std::int32_t m : ranks_[of % ranks_.size()].rank->groups[kind])
      out.state.push_back(std::int64_t{ranks_[static_cast<std::size_t>(m)].met[kind]} -
                          open.front().number);
    for (TimedMeeting& m : open) {
      out.state.insert(out.state.end(), {static_cast<std::int64_t>(m.joined), to_come(m.arrival)});
      for (FlowSchedule::Ready& r : m.arrivals) describe(r, out.state);
    }
  }
  flows_.describe(out.state);
  return out;
}

namespace {

std::int64_t number(const void* p) { return reinterpret_cast<std::intptr_t>(p); }

}  // namespace

void TimedPeriods::describe(TimedRank& r, std::size_t period, const StepList::Stretch& s,
                            std::vector<std::int64_t>& out) {
  const auto periods = static_cast<std::int64_t>(period);
  const auto call =
      static_cast<std::int64_t>(r.call) - periods * static_cast<std::int64_t>(s.period);
  out.insert(out.end(), {call, static_cast<std::int64_t>(r.at), to_come(r.host),
                         static_cast<std::int64_t>(r.runs.size())});
  for (const ClockOp* op : r.gathered) out.push_back(number(op));
  for (IssuedRun& run : r.runs) describe(run, out);
  flows_.describe(r.blocked_on, out);
  for (TimedLane& l : r.lanes) {
    if (l.last != FlowSchedule::kNone && flows_.ended(l.last)) {
      l.free = flows_.end(l.last);
      l.last = FlowSchedule::kNone;
    }
    out.push_back(to_come(l.free));
    flows_.describe(l.last, out);
    describe(l.waits, out);
  }
  for (FlowSchedule::Ready& e : r.events) describe(e, out);
  for (TimedRank::Message& m : r.inbox) {
    out.insert(out.end(), {m.from, static_cast<std::int64_t>(m.tag) - periods * s.shift});
    describe(m.sent, out);
  }
}

void TimedPeriods::describe(IssuedRun& r, std::vector<std::int64_t>& out) {
  for (const ClockOp* op : r.ops) out.push_back(number(op));
  out.insert(out.end(), {to_come(r.host), number(r.apart), static_cast<std::int64_t>(r.at),
                         r.kernels.duration, r.kernels.host, r.kernels.latest, r.single,
                         static_cast<std::int64_t>(r.guarded), r.disturbed});
  for (const double slowdown : {r.slowdowns.kernel, r.slowdowns.collective, r.slowdowns.waiting})
    out.push_back(std::bit_cast<std::int64_t>(slowdown));
  describe(r.waits, out);
  for (const FlowSchedule::Id of : {r.promise, r.guard, r.blocked_on, r.working})
    flows_.describe(of, out);
}

// What has come to pass between the two comes to pass again.
bool TimedPeriods::repeat(const Snapshot& before, const Snapshot& now) {
  const std::size_t cycle = now.period - before.period;
  const std::int64_t length = now.now - before.now;
  std::size_t times = std::numeric_limits<std::size_t>::max();
  for (std::size_t r = 0; r < ranks_.size(); ++r) {
    const StepList::Stretch& s = *ranks_[r].stretch();
    if (before.ranks[r].call < s.begin) return false;
    times = std::min(times, (s.end() - 1 - ranks_[r].call) / (cycle * s.period));
    const std::int64_t host = now.ranks[r].host - before.ranks[r].host;
    const bool waited = now.ranks[r].waited_for_host != before.ranks[r].waited_for_host;
    if (host > length || (host < length && waited)) return false;
  }
  if (times == 0) return false;
  const auto n = static_cast<std::int64_t>(times);
  std::int64_t later = 0;
  if (__builtin_mul_overflow(n, length, &later))
    throw std::overflow_error("simulated time passes 106 days");
  for (std::size_t m = 0; m < meetings_.size(); ++m) {
    const std::size_t kind = m / ranks_.size(), first = m % ranks_.size();
    const std::uint32_t met = now.ranks[first].met[kind] - before.ranks[first].met[kind];
    for (TimedMeeting& open : meetings_[m]) {
      open.number += static_cast<std::uint32_t>(times) * met;
      open.arrival += later;
      for (FlowSchedule::Ready& r : open.arrivals) r.at += later;
    }
  }
  for (std::size_t r = 0; r < ranks_.size(); ++r)
    shift(ranks_[r], before.ranks[r], times * cycle, n, later);
  flows_.shift(later);
  return true;
}

void TimedPeriods::shift(TimedRank& r, const Snapshot::OfRank& before, std::size_t periods,
                         std::int64_t times, std::int64_t later) {
  const StepList::Stretch s = *r.stretch();
  const std::int64_t host = times * (r.host - before.host);
  r.call += periods * s.period;
  r.host += host;
  for (IssuedRun& run : r.runs) {
    run.host += host;
    run.waits.at += later;
  }
  for (TimedLane& l : r.lanes) {
    l.free += later;
    l.waits.at += later;
  }
  for (FlowSchedule::Ready& e : r.events) e.at += later;
  for (TimedRank::Message& m : r.inbox) {
    m.sent.at += later;
    m.tag += static_cast<std::uint32_t>(static_cast<std::int64_t>(periods) * s.shift);
  }
  for (std::size_t g = 0; g < r.met.size(); ++g)
    r.met[g] += static_cast<std::uint32_t>(times) * (r.met[g] - before.met[g]);
}

}  // namespace rehearse
