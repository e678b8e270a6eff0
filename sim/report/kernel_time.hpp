#pragma once

#include "sim/engine/annotations.hpp"
#include "sim/engine/replay.hpp"

namespace rehearse {

// How long a task is at work, as a profiler would see it: a kernel's task without the gap that its
// stream leaves before the next kernel, in proportion where other work stretched the task.
SimTime time_at_work(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes,
                     TaskId t);

}  // namespace rehearse
