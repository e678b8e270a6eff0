#include "tools/cli/explain/pipeline.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "sim/base/format.hpp"
#include "strategies/schedules/schedule.hpp"
#include "tools/cli/explain/pipeline_chart.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

// As wide as the terminal, or as COLUMNS says.
ChartStyle terminal_style() {
  ChartStyle style;
  const bool terminal = isatty(STDOUT_FILENO) != 0;
  winsize size{};
  if (terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    style.width = size.ws_col;
  if (const char* columns = std::getenv("COLUMNS"); columns && std::atoi(columns) > 0)
    style.width = std::atoi(columns);
  style.width = std::clamp(style.width, 20, 400);
  style.colour = terminal && std::getenv("NO_COLOR") == nullptr;
  return style;
}

// Tasks are named after their segment, or, kernel by kernel, after the kernel.
std::optional<BarKind> kind_of(const TaskInfo& info, const std::string& name, bool splits) {
  const auto says = [&](const char* word) { return name.find(word) != std::string::npos; };
  switch (info.activity) {
    case Activity::kForward:
      return BarKind::kForward;
    case Activity::kBackward:
    case Activity::kRecompute:
      if (says("backward weights") || (splits && says(" wgrad"))) return BarKind::kWeights;
      if (says("backward inputs") || (splits && says(" dgrad"))) return BarKind::kInputs;
      return BarKind::kBackward;
    case Activity::kOptimizer:
      return BarKind::kOptimizer;
    case Activity::kHost:
    case Activity::kCollective:
    case Activity::kSend:
    case Activity::kReceive:
    case Activity::kJoin:
      return {};
  }
  return {};
}

bool belongs(const ChartBar& bar, BarKind kind, const TaskInfo& info, int chunk) {
  return bar.kind == kind && bar.micro_batch == info.micro_batch && bar.chunk == chunk;
}

// The rank's chunk of a stage.
int chunk_of(const Simulation& s, int pipeline_rank, const TaskInfo& info) {
  const Schedule& schedule = *s.plan.schedule;
  for (int c = 0; c < s.plan.chunks; ++c)
    if (stage_of(schedule, s.plan.pipeline, pipeline_rank, c) == info.chunk &&
        (schedule.copies() == 1 || info.micro_batch / s.plan.micro_batches_of_copy() == c))
      return c;
  return 0;
}

ChartRow row_of(const Simulation& s, std::uint32_t device, Seconds& busy) {
  const Annotations& notes = s.lowered.notes;
  const int rank = notes.devices[device].pipeline_stage;
  ChartRow row{fmt::format("rank {}", rank), {}};
  std::int64_t sum = 0;
  for (const TaskId t : s.lowered.graph.stream_tasks(notes.compute_stream[device])) {
    const TaskInfo& info = notes.tasks[t];
    if (info.step != notes.steps - 1 || s.timeline.duration(t).ps == 0) continue;
    const auto kind = kind_of(info, notes.names[info.name], s.plan.schedule->splits_backward);
    if (!kind) continue;
    sum += s.timeline.duration(t).ps;
    const int chunk = *kind == BarKind::kOptimizer ? 0 : chunk_of(s, rank, info);
    if (!row.bars.empty() && belongs(row.bars.back(), *kind, info, chunk))
      row.bars.back().end = s.timeline.end[t].ps;
    else
      row.bars.push_back(
          {s.timeline.start[t].ps, s.timeline.end[t].ps, *kind, info.micro_batch, chunk});
  }
  busy = SimTime(sum).seconds();
  return row;
}

}  // namespace

std::string pipeline_text(const Scenario& scenario) {
  SimulationOptions options;
  options.merge_passes = false;
  const Simulation s = simulate(scenario, options);
  const ChartStyle style = terminal_style();
  std::vector<ChartRow> rows(static_cast<std::size_t>(s.plan.pipeline));
  std::vector<Seconds> busy(rows.size(), Seconds(0));
  for (auto d = static_cast<std::uint32_t>(s.lowered.notes.devices.size()); d-- > 0;) {
    const auto rank = static_cast<std::size_t>(s.lowered.notes.devices[d].pipeline_stage);
    rows[rank] = row_of(s, d, busy[rank]);
  }
  std::string out = fmt::format(
      "{}, {} micro-batches, {} ranks{}: one step of {} back to back\n\n",
      s.plan.pipeline > 1 ? s.plan.schedule->name : "no pipeline", s.plan.micro_batches,
      s.plan.pipeline, s.plan.chunks > 1 ? fmt::format(" of {} chunks", s.plan.chunks) : "",
      format_seconds(s.report.step_time));
  out += pipeline_chart(rows, style);
  out += fmt::format("\n{:<8}{:>12}{:>12}{:>12}{:>12}\n", "", "busy", "idle", "over total",
                     "over ideal");
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const Seconds idle = s.report.step_time - busy[r];
    out +=
        fmt::format("{:<8}{:>12}{:>12}{:>12.4f}{:>12.4f}\n", rows[r].label, format_seconds(busy[r]),
                    format_seconds(idle), ratio(idle, s.report.step_time), ratio(idle, busy[r]));
  }
  return out +
         "idle: waiting for other ranks, messages and the host. over total: idle / step; over "
         "ideal: idle / busy\n";
}

}  // namespace rehearse
