#pragma once

#include <cstdint>
#include <vector>

#include "sim/report/breakdown.hpp"
#include "sim/report/dependencies.hpp"

namespace rehearse {

// The rank that a task belongs to: its stream's, or for a task on no stream the one it names.
std::uint32_t device_of(const TaskGraph& graph, const Annotations& notes, TaskId t);

// Shares of `length` in proportion to `weights`, which are not negative; they add up to it exactly.
// All zero when the weights are.
std::vector<std::int64_t> apportion(std::int64_t length, const std::vector<std::int64_t>& weights);

// The walk that step_account() describes. Every picosecond of the window is added to exactly one
// part, and every picosecond of exposed communication to at most one kind of communication.
class StepWalk {
 public:
  StepWalk(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes,
           const StepWindow& window);

  void run();

  const StepParts& parts() const { return parts_; }
  // By index into Annotations::collectives.
  const std::vector<std::int64_t>& exposed_ps() const { return exposed_ps_; }

 private:
  // What is left of a gap while it is explained backwards.
  struct Gap {
    SimTime begin, end;
    std::int64_t latency_ps = 0;   // of joins whose cause is not known yet
    std::int32_t collective = -1;  // met last
    bool out_of_step = false;      // a collective was met last, not a send or a receive
  };

  std::int64_t visible(SimTime begin, SimTime end) const;
  void add(SimTime StepParts::*part, std::int64_t ps) { (parts_.*part).ps += ps; }
  void add_exposed(std::int64_t ps, std::int32_t collective);
  void add_busy(TaskId t);
  void add_segment(TaskId t, std::int64_t ps);
  // Explains [begin, end), at the end of which `cause` let the compute stream go on.
  void add_gap(SimTime begin, SimTime end, TaskId cause);
  // Takes what `at` explains off the end of the gap; false when the rest of it is explained too.
  bool explain(Gap& gap, TaskId at);
  TaskId last_task_before(SimTime end) const;

  const TaskGraph& graph_;
  const Timeline& timeline_;
  const Annotations& notes_;
  StepWindow window_;
  Dependencies dependencies_;
  StepParts parts_;
  std::vector<std::int64_t> exposed_ps_;
};

}  // namespace rehearse
