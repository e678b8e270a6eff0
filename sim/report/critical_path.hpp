#pragma once

#include <vector>

#include "sim/engine/replay.hpp"

namespace rehearse {

// Tasks of a chain of binding predecessors from the last task of the run back to its start, in the
// order of time. Their durations add up to the makespan when no task waits without cause; they
// never exceed it.
std::vector<TaskId> critical_path(const TaskGraph& graph, const Timeline& timeline);

}  // namespace rehearse
