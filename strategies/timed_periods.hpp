#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "strategies/timed_rank.hpp"

namespace rehearse {

// Periods of a schedule that only move the time of a walk.
//
// Model. When the first rank comes to another period of its schedule, everything that decides what
// is to come is written down relative to the time and to the period: clocks (those that have passed
// are all the same), flows under way, messages, places in the program. Where that is as it was some
// periods ago, and the calls that follow are those of a later micro-batch, then what has happened
// since happens again. So as many such cycles as all ranks have before them are left out: every
// clock is so much later. Hosts are an exception: one that is ahead, and that nothing has waited
// for, gets further ahead. Exact, in integers.
class TimedPeriods {
 public:
  // `meetings`: by kind of group and first member.
  TimedPeriods(std::vector<TimedRank>& ranks, std::vector<TimedMeetings>& meetings,
               FlowSchedule& flows)
      : ranks_(ranks), meetings_(meetings), flows_(flows) {}

  // Between two events, when all ranks have gone as far as they get.
  void leave_out();

 private:
  struct Snapshot {
    std::vector<std::int64_t> state;  // empty: a rank is not in the middle of its schedule
    std::int64_t now = 0;
    std::size_t period = 0;
    struct OfRank {
      std::int64_t host = 0;
      std::uint64_t waited_for_host = 0;
      std::size_t call = 0;
      std::array<std::uint32_t, kGroupKinds> met{};
    };
    std::vector<OfRank> ranks;
  };
  static constexpr std::size_t kSnapshots = 4;

  Snapshot snapshot(std::size_t period);
  void describe(TimedRank& r, std::size_t period, const StepList::Stretch& s,
                std::vector<std::int64_t>& out);
  void describe(IssuedRun& r, std::vector<std::int64_t>& out);
  void describe(FlowSchedule::Ready& r, std::vector<std::int64_t>& out) {
    flows_.settle(r);
    flows_.describe(r, out);
  }
  std::int64_t to_come(std::int64_t time) const {
    return time > flows_.now() ? time - flows_.now() : 0;
  }
  bool repeat(const Snapshot& before, const Snapshot& now);
  void shift(TimedRank& r, const Snapshot::OfRank& before, std::size_t periods, std::int64_t times,
             std::int64_t later);

  std::vector<TimedRank>& ranks_;
  std::vector<TimedMeetings>& meetings_;
  FlowSchedule& flows_;
  std::deque<Snapshot> known_;
  const StepList::Stretch* stretch_ = nullptr;  // that the first rank is in
  int step_ = 0;
};

}  // namespace rehearse
