#pragma once

#include "hardware/cluster.hpp"
#include "sim/config/scenario.hpp"
#include "sim/engine/annotations.hpp"
#include "sim/engine/task_graph.hpp"
#include "strategies/program.hpp"

namespace rehearse {

struct LowerOptions {
  int steps = 2;      // back to back; the last is the steady one
  bool merge = true;  // consecutive segments that nothing outside can interrupt become one task,
  bool merge_passes = true;  // also those of different passes (StepList)
  Clocks clocks = Clocks::kSustained;
  Variation variation;
  int trial = 0;            // of the variation's
  bool mark_calls = false;  // fills Lowered::calls
};

struct Lowered {
  TaskGraph graph;
  Annotations notes;  // with `memory` filled when tasks are not merged
  // By rank, and for every call of all its steps: tasks of the rank from this on were made in it or
  // later. What calls before it left to be merged is made later, too.
  std::vector<std::vector<TaskId>> calls;
};

// Prices a program and turns it into tasks.
//
// Host and streams. Every rank has a host stream; issuing takes host time, and what is issued
// starts no earlier than that plus the launch latency. A run of segments on the compute stream is,
// whatever happens outside, the max-plus map end = max(S + D, H + E) of the time S when its stream
// is free and the time H when its host begins: D adds up its kernels, and E is the latest that a
// kernel's issue and everything after it can end. So it is one task of D that starts no earlier
// than H + E - D: merging is exact, and a run of any length costs three tasks. Where the GPU says
// that compute and communication slow each other, segments with communication inside are not
// merged, and a merged task ends within a picosecond a kernel of what its kernels would.
//
// Ranks meet in collectives (a join of their arrivals, then the collective on each) and in messages
// (the transfer occupies the sender's stream; the latency follows on no stream). Ranks are
// walked together so that every edge goes forward; a program in which ranks wait for each other for
// ever is a bug (std::logic_error).
Lowered lower(const Program& program, const Cluster& cluster, const LowerOptions& options);

// When the slowest rank's last step begins and ends: what step_window() would find.
struct StepTimes {
  std::uint32_t device = 0;  // of Program::ranks
  SimTime begin, end;
  std::uint64_t tasks = 0;      // that were walked; by clock, as many as the graph would have
  bool transfers_meet = false;  // then the step takes longer: they slow each other
};

class Prices;  // strategies/priced_segment.hpp

// Whether a clock alone tells the times, where no transfers meet: kernels and collectives do not
// slow each other.
bool clock_suffices(const Cluster& cluster);
// The times of lower() and simulate(), found while walking and without a graph: memory grows with
// the transfers that may meet, not with the tasks; where those do meet, as if they did not slow
// each other. times_without_graph() (strategies/step_clock.hpp) knows other ways. Precondition:
// clock_suffices().
StepTimes walked_step_times(const Program& program, const Cluster& cluster,
                            const LowerOptions& options, Prices& prices);

}  // namespace rehearse
