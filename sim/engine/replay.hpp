#pragma once

#include <cstdint>
#include <vector>

#include "sim/base/sim_time.hpp"
#include "sim/engine/task_graph.hpp"

namespace rehearse {

// When every task ran.
struct Timeline {
  std::vector<SimTime> start;
  std::vector<SimTime> end;
  SimTime makespan;
  std::uint64_t events = 0;  // task starts and ends, and changes of rate, that were processed

  SimTime duration(TaskId t) const { return end[t] - start[t]; }
};

// One pass in topological order: start = max(end of predecessors, end of the stream's previous
// task). Exact when nothing interferes. Precondition: !graph.interferes().
Timeline sweep(const TaskGraph& graph);

// The event engine: a heap of completions ordered by (time, phase, task id), completions before
// starts. Handles interference. Gives the same times as sweep() where both apply.
Timeline replay(const TaskGraph& graph);

// sweep() where it is exact, else replay().
Timeline simulate(const TaskGraph& graph);

// FNV-1a over the structure (streams, edges; no times) and over the times, apart. The same on
// every machine, compiler and build type.
std::uint64_t structure_hash(const TaskGraph& graph);
std::uint64_t timing_hash(const TaskGraph& graph, const Timeline& timeline);

}  // namespace rehearse
