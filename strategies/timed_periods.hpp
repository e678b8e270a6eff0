#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "strategies/timed_state.hpp"

namespace rehearse {

// Periods of a schedule that only move the time of a walk.
//
// Model. When the first rank comes to another period of its schedule, the state is written down
// relative to the time and to the period. Where that is as it was some periods ago, and the calls
// that follow are those of a later micro-batch, then what has happened since happens again. So as
// many such cycles as all ranks have before them are left out: every clock is so much later. Hosts
// are an exception: one that is ahead, and that nothing has waited for, gets further ahead. Exact,
// in integers.
class TimedPeriods {
 public:
  // `meetings`: by kind of group and first member.
  TimedPeriods(TimedClocks& clocks, std::vector<TimedMeetings>& meetings)
      : clocks_(clocks), meetings_(meetings) {}

  // When the first rank has come to another call: between two events, when all ranks have gone as
  // far as they get and no guard has been broken that is still to be told.
  void leave_out();

 private:
  struct Known {
    std::size_t period = 0;
    std::optional<TimedState> state;  // nothing: a rank is not in the middle of its schedule
  };
  static constexpr std::size_t kKnown = 64;

  std::optional<TimedState> state(std::size_t period);
  bool repeat(const Known& from, const Known& to);
  void shift(TimedRank& r, const TimedState::OfRank& before, std::size_t periods,
             std::int64_t times, std::int64_t later);

  TimedClocks& clocks_;
  std::vector<TimedMeetings>& meetings_;
  std::deque<Known> known_;
  const StepList::Stretch* stretch_ = nullptr;  // that the first rank is in
  int step_ = 0;
};

}  // namespace rehearse
