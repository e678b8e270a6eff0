#include <algorithm>
#include <stdexcept>

#include "sim/base/huge_pages.hpp"
#include "sim/engine/replay.hpp"

namespace rehearse {

// Ids are in topological order, so when a task is reached all that could delay it is known.
// `start[t]` holds the latest end among the predecessors seen so far until `t` is reached, and its
// start afterwards: no array beside the outputs.
Timeline sweep(const TaskGraph& graph) {
  if (graph.interferes()) throw std::logic_error("sweep: tasks of this graph interfere");
  const auto tasks = static_cast<TaskId>(graph.size());
  Timeline timeline;
  resize_large(timeline.start, tasks);
  resize_large(timeline.end, tasks);
  std::vector<SimTime> stream_end(graph.stream_count());
  std::int64_t makespan = 0;
  for (TaskId t = 0; t < tasks; ++t) {
    const TaskGraph::Hot& hot = graph.hot(t);
    SimTime start = timeline.start[t];
    if (hot.stream != kNoStream) start = std::max(start, stream_end[hot.stream]);
    SimTime end;
    if (__builtin_add_overflow(start.ps, hot.duration_ps, &end.ps)) {
      throw std::overflow_error("simulated time passes 106 days");
    }
    if (hot.stream != kNoStream) stream_end[hot.stream] = end;
    timeline.start[t] = start;
    timeline.end[t] = end;
    makespan = std::max(makespan, end.ps);
    for (const TaskId next : graph.successors(t)) {
      timeline.start[next] = std::max(timeline.start[next], end);
    }
  }
  timeline.makespan = SimTime(makespan);
  timeline.events = 2 * static_cast<std::uint64_t>(tasks);
  return timeline;
}

Timeline simulate(const TaskGraph& graph) {
  return graph.interferes() ? replay(graph) : sweep(graph);
}

}  // namespace rehearse
