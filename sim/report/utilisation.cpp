#include "sim/report/utilisation.hpp"

namespace rehearse {
namespace {

bool computes(Activity a) {
  return a == Activity::kForward || a == Activity::kBackward || a == Activity::kRecompute ||
         a == Activity::kOptimizer;
}

// How much of a task computes: of a merged one, its parts that do.
double computing_part(const Annotations& notes, const TaskInfo& info) {
  if (info.share < 0) return computes(info.activity) ? 1 : 0;
  std::int64_t all = 0, computing = 0;
  for (const auto& [activity, ps] : notes.shares[static_cast<std::size_t>(info.share)].parts_ps) {
    all += ps;
    if (computes(activity)) computing += ps;
  }
  return all > 0 ? static_cast<double>(computing) / static_cast<double>(all) : 0;
}

}  // namespace

double utilisation(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes,
                   const StepWindow& window) {
  const double step = static_cast<double>((window.end - window.begin).ps);
  if (step <= 0) return 0;
  double busy = 0, ranks = 0;
  for (std::size_t d = 0; d < notes.devices.size(); ++d) {
    double own = 0;
    for (const TaskId t : graph.stream_tasks(notes.compute_stream[d])) {
      const TaskInfo& info = notes.tasks[t];
      if (info.step + 1 != notes.steps) continue;
      own += computing_part(notes, info) * static_cast<double>(timeline.duration(t).ps);
    }
    busy += own * notes.devices[d].busy * notes.devices[d].represents;
    ranks += notes.devices[d].represents;
  }
  return busy / (step * ranks);
}

}  // namespace rehearse
