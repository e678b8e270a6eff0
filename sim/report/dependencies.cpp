#include "sim/report/dependencies.hpp"

namespace rehearse {

Dependencies::Dependencies(const TaskGraph& graph)
    : offsets_(graph.size() + 1, 0),
      predecessors_(graph.edge_count()),
      stream_previous_(graph.size(), kNoTask) {
  const auto size = static_cast<TaskId>(graph.size());
  for (TaskId t = 0; t < size; ++t) {
    for (const TaskId successor : graph.successors(t)) ++offsets_[successor + 1];
  }
  for (TaskId t = 0; t < size; ++t) offsets_[t + 1] += offsets_[t];
  std::vector<std::uint32_t> next(offsets_.begin(), offsets_.end() - 1);
  for (TaskId t = 0; t < size; ++t) {
    for (const TaskId successor : graph.successors(t)) predecessors_[next[successor]++] = t;
  }
  for (StreamId s = 0; s < graph.stream_count(); ++s) {
    TaskId previous = kNoTask;
    for (const TaskId t : graph.stream_tasks(s)) {
      stream_previous_[t] = previous;
      previous = t;
    }
  }
}

TaskId binding_predecessor(const Dependencies& dependencies, const Timeline& timeline, TaskId t,
                           const Annotations* notes) {
  TaskId best = kNoTask;
  const auto is_host = [notes](TaskId id) {
    return notes != nullptr && notes->tasks[id].activity == Activity::kHost;
  };
  const auto consider = [&](TaskId candidate) {
    if (candidate == kNoTask) return;
    if (best != kNoTask) {
      const SimTime a = timeline.end[candidate];
      const SimTime b = timeline.end[best];
      if (a < b) return;
      if (a == b) {
        if (is_host(candidate) != is_host(best)) {
          if (is_host(candidate)) return;
        } else if (candidate > best) {
          return;
        }
      }
    }
    best = candidate;
  };
  for (const TaskId p : dependencies.predecessors(t)) consider(p);
  consider(dependencies.stream_previous(t));
  return best;
}

}  // namespace rehearse
