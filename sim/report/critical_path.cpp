#include "sim/report/critical_path.hpp"

#include <algorithm>

#include "sim/report/dependencies.hpp"

namespace rehearse {

std::vector<TaskId> critical_path(const TaskGraph& graph, const Timeline& timeline) {
  std::vector<TaskId> path;
  if (graph.size() == 0) return path;
  TaskId last = 0;
  for (TaskId t = 1; t < graph.size(); ++t) {
    if (timeline.end[t] > timeline.end[last]) last = t;
  }
  const Dependencies dependencies(graph);
  for (TaskId t = last; t != kNoTask; t = binding_predecessor(dependencies, timeline, t, nullptr)) {
    path.push_back(t);
  }
  std::reverse(path.begin(), path.end());
  return path;
}

}  // namespace rehearse
