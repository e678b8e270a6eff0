#pragma once

#include <map>
#include <tuple>
#include <vector>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {

struct ChunkActions {
  int forwards = 0, backwards = 0;
};

// What the order of a rank's actions comes to. Chunks are those of its first and last forward and
// backward.
struct ScheduleOutline {
  int first_forward = 0, first_backward = 0, last_forward = 0, last_backward = 0;
  bool apart = false;                 // its first backward comes before its last forward
  std::vector<int> before_backward;   // forwards before the first backward, by chunk
  std::vector<ChunkActions> warm_up;  // by chunk: between its first forward and its first backward
  std::vector<ChunkActions> cool_down;  // between its last forward and its last backward
};

// Outlines, each found once. Beyond its warm-up and before its cool-down a schedule repeats, so
// that their number does not grow with that of micro-batches.
class ScheduleOutlines {
 public:
  const ScheduleOutline& of(const Schedule& schedule, PipelineShape shape);

 private:
  std::map<std::tuple<const Schedule*, int, int, int, int>, ScheduleOutline> known_;
};

}  // namespace rehearse
