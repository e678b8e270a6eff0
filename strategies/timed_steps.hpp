#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "strategies/timed_state.hpp"

namespace rehearse {

// A last step that goes on as the one before it did, and is left out.
//
// Model. All ranks of the step before begin at once, those of the last one each when it is done
// with that. But a rank waits for messages of others, so most of this has passed when the first has
// come to its first calls: where the state is then what it was at those calls a step before, the
// last step ends as that did, so much later. Exact, unless
//
// - what is to come waits for a host that was less ahead the step before, or
// - work of the last step was there beside some of the step before, which it may have slowed.
class TimedSteps {
 public:
  TimedSteps(TimedClocks& clocks, std::vector<TimedMeetings>& meetings)
      : clocks_(clocks), meetings_(meetings) {}

  // When the first rank has come to another call: between two events, when all ranks have gone as
  // far as they get and no guard has been broken that is still to be told. True: the rest of the
  // last step has been left out.
  bool leave_out();

 private:
  TimedState state();
  bool follows(const TimedState& before, const TimedState& now) const;
  // Whether the rank's host makes no difference to the rest of its step.
  bool ignores_host(std::size_t rank, const TimedState& before, const TimedState& now) const;
  int last() const { return static_cast<int>(clocks_.ends.size()) - 1; }

  TimedClocks& clocks_;
  std::vector<TimedMeetings>& meetings_;
  int step_ = 0;
  std::size_t look_ = 0;  // how often it has looked at the step
  static constexpr std::size_t kLooks = 8;
  std::vector<TimedState> known_;  // of the last step but one, when the first rank came to
                                   // call 1, 2, 4, ...
};

}  // namespace rehearse
