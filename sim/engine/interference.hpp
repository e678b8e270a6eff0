#pragma once

#include <cstdint>
#include <vector>

#include "sim/engine/completions.hpp"
#include "sim/engine/task_graph.hpp"
#include "sim/engine/work.hpp"

namespace rehearse {

// How fast the streams of each domain run, and what is left of the tasks they run.
//
// Model. A domain that has streams of both classes has two lanes, foreground and background. A lane
// is busy while one of its streams runs a task. While the other lane of its domain is busy, all
// streams of a lane run at the lane's slowed rate, else at full rate.
//
// Rates belong to the intervals between instants, not to instants: all ends and starts of an
// instant happen first, then settle() compares each touched domain with the rates in force. So a
// stream that goes from one task to the next without a gap changes nothing, tasks without duration
// slow nobody, and the order of events within an instant cannot be seen.
class Interference {
 public:
  explicit Interference(const TaskGraph& graph);

  // Is this stream in a domain with two lanes? Others run at full rate and are not tracked.
  bool tracks(StreamId s) const { return streams_[s].lane != kNoLane; }

  // A task of `work_ps` > 0 starts. Returns its end if the rates stay as they are.
  std::int64_t begin(StreamId s, std::int64_t now, std::int64_t work_ps);
  void finish(StreamId s);

  // Ends an instant: where a lane's rate changes, moves the completions of its running tasks.
  // Returns how many were moved.
  std::uint64_t settle(std::int64_t now, CompletionTree& completions);

 private:
  static constexpr std::uint32_t kNoLane = kNoStream;
  struct Stream {
    std::int64_t settled_ps = 0;  // `left` is what is left at this time
    Work left;
    std::uint32_t lane = kNoLane;
    bool running = false;
  };
  // Lanes of a domain are neighbours: lane ^ 1 is the other one.
  struct Lane {
    std::uint32_t running = 0;  // streams
    RateParts rate = kFullRate;
    RateParts slowed = kFullRate;
    bool touched = false;  // on the even lane: is the domain in touched_?
    std::vector<StreamId> streams;
  };

  void touch(std::uint32_t lane);
  std::uint64_t change_rate(Lane& lane, RateParts rate, std::int64_t now,
                            CompletionTree& completions);

  std::vector<Stream> streams_;
  std::vector<Lane> lanes_;
  std::vector<std::uint32_t> touched_;  // even lanes of domains where a lane became busy or idle
};

}  // namespace rehearse
