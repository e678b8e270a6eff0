#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/base/quantity.hpp"
#include "sim/engine/annotations.hpp"
#include "sim/engine/replay.hpp"

namespace rehearse {

// Where the slowest device's step goes; the parts add up to the step.
struct Breakdown {
  Seconds compute{0};                // forward, backward and recomputation kernels
  Seconds exposed_communication{0};  // the compute stream waits for, or runs, communication
  Seconds pipeline_bubble{0};        // waits for another stage
  Seconds host{0};                   // waits for the host to issue
  Seconds optimizer{0};

  Seconds total() const {
    return compute + exposed_communication + pipeline_bubble + host + optimizer;
  }
};

// Two conventions of the same bubble: over the whole step, (p - 1) / (m + p - 1) for 1F1B with p
// stages and m micro-batches, and over the step without its bubble, (p - 1) / m.
double bubble_over_total(const Breakdown& parts);
double bubble_over_ideal(const Breakdown& parts);

struct CommunicationRow {
  std::string operation;
  std::string group;
  std::int64_t count = 0;        // a step, on the slowest device; a send and a receive count each
  Bytes payload{0};              // summed over the step
  Bytes wire_bytes_per_rank{0};  // that leave the device, summed over the step
  Seconds time{0};               // on its stream, exposed or not
  Seconds exposed{0};            // its share of Breakdown::exposed_communication
};

// From the timeline of a graph. The window of a device is its last simulated step: from the end of
// its previous one (0 when there is one step) to its end; the slowest device is the one whose last
// step ends last (ties: the lowest rank).
struct StepWindow {
  std::uint32_t device = 0;
  SimTime begin, end;
};
StepWindow step_window(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes);

// The same parts as Breakdown, in whole picoseconds, so that they add up exactly.
struct StepParts {
  SimTime compute, exposed_communication, pipeline_bubble, host, optimizer;

  SimTime total() const {
    return compute + exposed_communication + pipeline_bubble + host + optimizer;
  }
};

Breakdown to_breakdown(const StepParts& parts);

struct StepAccount {
  StepParts parts;
  std::vector<CommunicationRow> communication;  // longest time first
};

// Walks the device's compute stream through the window.
//
// Busy time goes by the task's activity; a task that merges a segment is split as its share says.
// A gap before a task is explained backwards from its end: the chain of predecessors that ended
// last is followed through joins, and each of them takes the part of the gap in which it ran.
//   - A host takes its running time. What is left goes to what it waited for itself, as where it
//     issues nothing before a message has come.
//   - Communication takes its running time. What is left before it goes to what it waited for, so
//     a receive that waited for its sender is a bubble until the transfer starts.
//   - Compute of another device takes all that is left: as pipeline bubble, or, when a collective
//     waited for it, as exposed communication (ranks out of step).
//   - Other streams of the same device count as exposed communication.
//   - A join that takes time is a latency and goes with what is found behind it: host, or else
//     exposed communication.
// Time after the last task of the compute stream is explained from the device's last task.
StepAccount step_account(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes,
                         const StepWindow& window);

// The parts of step_account().
Breakdown breakdown(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes,
                    const StepWindow& window);
// Communication of the window's device by operation and group; of step_account().
std::vector<CommunicationRow> communication_table(const TaskGraph& graph, const Timeline& timeline,
                                                  const Annotations& notes,
                                                  const StepWindow& window);

}  // namespace rehearse
