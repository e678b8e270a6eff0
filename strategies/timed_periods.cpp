#include "strategies/timed_periods.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

namespace rehearse {

void TimedPeriods::leave_out() {
  const TimedRank& first = clocks_.ranks.front();
  const StepList::Stretch* s = first.stretch();
  if (s == nullptr) return;
  const auto period = [&] { return (first.call - s->begin) / s->period; };
  if (s != stretch_ || first.step != step_) {
    stretch_ = s;
    step_ = first.step;
    known_.clear();
  } else if (period() == known_.back().period) {
    return;
  }
  Known now{period(), state(period())};
  for (const Known& before : known_)
    if (now.state && before.state && now.state->numbers == before.state->numbers &&
        repeat(before, now)) {
      now = {period(), {}};
      known_.clear();
      break;
    }
  if (known_.size() == kKnown) known_.pop_front();
  known_.push_back(std::move(now));
}

std::optional<TimedState> TimedPeriods::state(std::size_t period) {
  const auto periods = static_cast<std::int64_t>(period);
  std::vector<TimedOrigin> origins;
  for (const TimedRank& r : clocks_.ranks) {
    const StepList::Stretch* s = r.stretch();
    if (s == nullptr || s->shift != stretch_->shift || r.step != step_) return {};
    origins.push_back({periods * static_cast<std::int64_t>(s->period), periods * s->shift});
  }
  return state_of(clocks_, meetings_, origins);
}

// What has come to pass between the two comes to pass again.
bool TimedPeriods::repeat(const Known& from, const Known& to) {
  const TimedState &before = *from.state, &now = *to.state;
  std::vector<TimedRank>& ranks = clocks_.ranks;
  const std::size_t cycle = to.period - from.period;
  const std::int64_t length = now.now - before.now;
  std::size_t times = std::numeric_limits<std::size_t>::max();
  for (std::size_t r = 0; r < ranks.size(); ++r) {
    const StepList::Stretch& s = *ranks[r].stretch();
    if (before.ranks[r].call < s.begin) return false;
    times = std::min(times, (s.end() - 1 - ranks[r].call) / (cycle * s.period));
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
    const std::size_t kind = m / ranks.size(), first = m % ranks.size();
    const std::uint32_t met = now.ranks[first].met[kind] - before.ranks[first].met[kind];
    for (TimedMeeting& open : meetings_[m]) {
      open.number += static_cast<std::uint32_t>(times) * met;
      open.arrival += later;
      for (FlowSchedule::Ready& r : open.arrivals) r.at += later;
    }
  }
  for (std::size_t r = 0; r < ranks.size(); ++r)
    shift(ranks[r], before.ranks[r], times * cycle, n, later);
  clocks_.flows.shift(later);
  return true;
}

void TimedPeriods::shift(TimedRank& r, const TimedState::OfRank& before, std::size_t periods,
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
