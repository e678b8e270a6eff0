#include "tools/cli/explain/critical_path.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "sim/base/format.hpp"
#include "sim/report/critical_path.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

constexpr std::size_t kMostRuns = 40;

const char* name_of(Activity a) {
  switch (a) {
    case Activity::kForward:
      return "forward";
    case Activity::kBackward:
      return "backward";
    case Activity::kRecompute:
      return "recompute";
    case Activity::kOptimizer:
      return "optimizer";
    case Activity::kHost:
      return "host issues";
    case Activity::kCollective:
      return "communication";
    case Activity::kSend:
      return "message";
    case Activity::kReceive:
      return "message";
    case Activity::kJoin:
      break;
  }
  return "latency";
}

// Consecutive tasks of the path of one kind on one rank.
struct PathRun {
  std::string what;
  int rank = 0;
  std::int32_t micro_first = -1, micro_last = -1;
  std::int64_t tasks = 0;
  SimTime time;
};

// The part of the path that lies in the step, cut to it; what no task of the path fills is a wait.
std::vector<PathRun> runs_of(const Simulation& s, const StepWindow& window) {
  const Annotations& notes = s.lowered.notes;
  std::vector<PathRun> runs;
  const auto add = [&](const char* what, const TaskInfo& info, SimTime time) {
    const int rank = notes.devices[info.device].rank;
    if (runs.empty() || runs.back().what != what || runs.back().rank != rank)
      runs.push_back({what, rank, info.micro_batch, info.micro_batch, 0, SimTime{}});
    PathRun& run = runs.back();
    if (info.micro_batch >= 0) run.micro_last = info.micro_batch;
    ++run.tasks;
    run.time = run.time + time;
  };
  SimTime at = window.begin;
  for (const TaskId t : critical_path(s.lowered.graph, s.timeline)) {
    const SimTime start = std::max(s.timeline.start[t], at), end = s.timeline.end[t];
    if (end <= at) continue;
    if (start > at) add("waiting", notes.tasks[t], start - at);
    add(name_of(notes.tasks[t].activity), notes.tasks[t], end - start);
    at = end;
  }
  return runs;
}

}  // namespace

std::string critical_path_text(const Scenario& scenario) {
  const Simulation s = simulate(scenario);
  const StepWindow window = step_window(s.lowered.graph, s.timeline, s.lowered.notes);
  const std::vector<PathRun> runs = runs_of(s, window);
  const SimTime step = window.end - window.begin;
  std::map<std::string, std::pair<std::int64_t, SimTime>> sums;
  SimTime total;
  for (const PathRun& run : runs) {
    sums[run.what].first += run.tasks;
    sums[run.what].second = sums[run.what].second + run.time;
    total = total + run.time;
  }
  const auto percent = [&](SimTime t) {
    return 100 * static_cast<double>(t.ps) / static_cast<double>(step.ps);
  };
  std::string out = fmt::format(
      "critical path of a step of {}: what it would have to be shortened "
      "by to shorten the step\n",
      format_seconds(step.seconds()));
  for (const auto& [what, sum] : sums)
    out += fmt::format("  {:<16}{:>12} {:>6.1f} %\n", what, format_seconds(sum.second.seconds()),
                       percent(sum.second));
  out +=
      fmt::format("  {:<16}{:>12}  100.0 %\nin order:\n", "sum", format_seconds(total.seconds()));
  std::size_t shown = 0;
  for (const PathRun& run : runs) {
    if (shown++ == kMostRuns) {
      out += fmt::format("  and {} more\n", runs.size() - kMostRuns);
      break;
    }
    std::string where = fmt::format("rank {}", run.rank);
    if (run.micro_first >= 0)
      where += run.micro_first == run.micro_last
                   ? fmt::format(", micro-batch {}", run.micro_first)
                   : fmt::format(", micro-batches {} to {}", run.micro_first, run.micro_last);
    out += fmt::format("  {:>12} {:<16}{}\n", format_seconds(run.time.seconds()), run.what, where);
  }
  return out;
}

}  // namespace rehearse
