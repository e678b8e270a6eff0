#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "strategies/timed_clocks.hpp"

namespace rehearse {

// Everything that decides what is to come in a walk, in numbers that are the same whenever it is
// the same but for the time: clocks (those that have passed are all the same), flows under way,
// messages, places in the program.
//
// Hosts are an exception: how far one is behind the time is not told, so what is to come is only
// the same where nothing waits for it, or where it is as far behind.
struct TimedState {
  std::vector<std::int64_t> numbers;
  std::int64_t now = 0;
  struct OfRank {
    std::int64_t host = 0;
    std::uint64_t waited_for_host = 0;  // in its step
    std::size_t call = 0;
    std::array<std::uint32_t, kGroupKinds> met{};
  };
  std::vector<OfRank> ranks;
};

// Where the counting of a rank's calls and micro-batches begins.
struct TimedOrigin {
  std::int64_t call = 0, micro_batch = 0;
};

// Between two events, when all ranks have gone as far as they get. `meetings`: by kind of group and
// first member; `origins`: by rank.
TimedState state_of(TimedClocks& clocks, std::vector<TimedMeetings>& meetings,
                    const std::vector<TimedOrigin>& origins);

}  // namespace rehearse
