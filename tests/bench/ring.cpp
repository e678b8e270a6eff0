// The training that ASTRA-sim's analytical backend is timed on (ring_training.hpp), folded into one
// rank, every rank on its own, and with every message of an all-reduce's ring a task.

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "sim/engine/replay.hpp"
#include "strategies/lower.hpp"
#include "strategies/step_clock.hpp"
#include "tests/bench/report.hpp"
#include "tests/bench/ring_training.hpp"

namespace rehearse::bench {
namespace {

// Of ASTRA-sim's analytical backend on a machine like this one.
constexpr double kTheirSeconds = 280, kTheirMostEventsPerS = 3.1e6;

// Of two steps the second begins when the first ends: one is enough.
LowerOptions one_step() {
  LowerOptions o;
  o.steps = 1;
  return o;
}

struct Row {
  const char* name;
  std::uint64_t events = 0;
  double seconds = 0;
  double step_s = 0;  // simulated; 0: not a whole step
};

Row folded(const Options& options) {
  const RingTraining t;
  const Cluster cluster = ring_cluster(t);
  const Program program = ring_program(t);
  Row row{"folded: one rank for all"};
  row.seconds = median_seconds(options.runs, [&] {
    const Lowered lowered = lower(program, cluster, one_step());
    const Timeline timeline = simulate(lowered.graph);
    row.events = timeline.events;
    row.step_s = timeline.makespan.seconds().value;
  });
  return row;
}

Row apart(const Options& options) {
  RingTraining t;
  t.fold = false;
  const Cluster cluster = ring_cluster(t);
  const Program program = ring_program(t);
  Row row{"every rank on its own"};
  row.seconds = median_seconds(std::min(options.runs, 3), [&] {
    Prices prices(program, cluster, Clocks::kSustained);
    const StepTimes times = unhindered_step_times(program, cluster, one_step(), prices);
    row.events = 2 * times.tasks;
    row.step_s = times.end.seconds().value;
  });
  return row;
}

// One all-reduce: 2 (n - 1) rounds in which each rank sends a piece on to the next once it has got
// that of the round before, and once it has computed with it a latency later.
TaskGraph ring_messages(int ranks, SimTime piece, SimTime latency) {
  const auto n = static_cast<std::uint32_t>(ranks);
  TaskGraphBuilder builder;
  std::vector<StreamId> sends;
  for (std::uint32_t r = 0; r < n; ++r)
    sends.push_back(builder.add_stream(r, StreamClass::kBackground));
  std::vector<TaskId> arrived(n), next(n);
  for (std::uint32_t round = 0; round < 2 * (n - 1); ++round) {
    for (std::uint32_t r = 0; r < n; ++r) {
      const TaskId send = builder.add_task(sends[r], piece);
      if (round > 0) builder.add_edge(arrived[r], send);
      const TaskId arrival = builder.add_task(kNoStream, latency);
      builder.add_edge(send, arrival);
      next[(r + 1) % n] = arrival;
    }
    std::swap(arrived, next);
  }
  return std::move(builder).freeze();
}

Row messages(const Options& options) {
  const RingTraining t;
  const Cluster cluster = ring_cluster(t);
  constexpr double kBytes = 50e6;
  const double piece = kBytes / t.ranks / cluster.intra_node.bandwidth.value;
  const TaskGraph graph =
      ring_messages(t.ranks, to_sim_time(Seconds(piece)), to_sim_time(cluster.intra_node.latency));
  Row row{"every message of one all-reduce"};
  row.seconds =
      median_seconds(std::min(options.runs, 3), [&] { row.events = replay(graph).events; });
  return row;
}

}  // namespace

Report bench_ring(const Options& options) {
  Report report;
  report.table = fmt::format("{:<34} {:>10} {:>10} {:>12} {:>9} {:>16}\n", "1,024 GPUs in a ring",
                             "events", "seconds", "events/s", "step", "than ASTRA-sim");
  report.json = nlohmann::ordered_json::array();
  const Row rows[] = {folded(options), apart(options), messages(options)};
  report.agree = rows[0].step_s == rows[1].step_s;
  for (const Row& r : rows) {
    const double rate = static_cast<double>(r.events) / r.seconds;
    // A whole step beside theirs; a part of one by its rate of events.
    const double faster = r.step_s > 0 ? kTheirSeconds / r.seconds : rate / kTheirMostEventsPerS;
    report.table += fmt::format("{:<34} {:>10} {:>10.4f} {:>10.2f} M {:>9} {:>14.1f} x\n", r.name,
                                r.events, r.seconds, rate / 1e6,
                                r.step_s > 0 ? fmt::format("{:.3f} s", r.step_s) : "-", faster);
    report.json.push_back({{"name", r.name},
                           {"events", r.events},
                           {"seconds", r.seconds},
                           {"events_per_s", rate},
                           {"step_time_s", r.step_s},
                           {"baseline_seconds", r.step_s > 0 ? kTheirSeconds : 0},
                           {"baseline_events_per_s", kTheirMostEventsPerS}});
  }
  return report;
}

}  // namespace rehearse::bench
