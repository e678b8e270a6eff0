#include "sim/report/kernel_time.hpp"

#include <algorithm>
#include <cmath>

namespace rehearse {
namespace {

bool is_kernel(const TaskInfo& i) {
  switch (i.activity) {
    case Activity::kForward:
    case Activity::kBackward:
    case Activity::kRecompute:
    case Activity::kOptimizer:
      return i.share < 0;  // else a run of them
    case Activity::kCollective:
      return i.collective < 0;  // copies around a collective
    case Activity::kHost:
    case Activity::kSend:
    case Activity::kReceive:
    case Activity::kJoin:
      return false;
  }
  return false;
}

}  // namespace

SimTime time_at_work(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes,
                     TaskId t) {
  const SimTime whole = timeline.duration(t);
  const TaskInfo& info = notes.tasks[t];
  const std::int64_t alone = graph.hot(t).duration_ps;
  const std::int64_t gap = notes.devices[info.device].kernel_gap.ps;
  if (!is_kernel(info) || gap >= alone) return whole;
  const double part = static_cast<double>(alone - gap) / static_cast<double>(alone);
  return SimTime(std::llround(static_cast<double>(whole.ps) * part));
}

}  // namespace rehearse
