#include "sim/report/breakdown.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "sim/report/step_walk.hpp"

namespace rehearse {
namespace {

void require_match(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes) {
  if (notes.tasks.size() != graph.size() || notes.streams.size() != graph.stream_count() ||
      timeline.start.size() != graph.size() || timeline.end.size() != graph.size()) {
    throw std::logic_error("a graph, its timeline and its annotations differ in size");
  }
}

// Rows by operation and group. Sums are in picoseconds until the end, so that they are exact.
class CommunicationTable {
 public:
  explicit CommunicationTable(const Annotations& notes)
      : notes_(notes), line_of_(notes.collectives.size(), kNone) {}

  // `sent`: whether the bytes leave this device.
  void add(std::int32_t collective, std::int64_t count, std::int64_t ps, bool sent) {
    Line& line = line_for(collective);
    const CollectiveInfo& info = notes_.collectives[static_cast<std::size_t>(collective)];
    line.row.count += count;
    line.row.payload += info.payload * count;
    if (sent) line.row.wire_bytes_per_rank += info.wire_bytes_per_rank * count;
    line.time.ps += ps;
  }
  void add_exposed(std::int32_t collective, std::int64_t ps) {
    line_for(collective).exposed.ps += ps;
  }
  // Longest first.
  std::vector<CommunicationRow> rows() && {
    std::sort(lines_.begin(), lines_.end(), [](const Line& a, const Line& b) {
      return std::tie(b.time, a.row.operation, a.row.group) <
             std::tie(a.time, b.row.operation, b.row.group);
    });
    std::vector<CommunicationRow> rows;
    for (Line& line : lines_) {
      line.row.time = line.time.seconds();
      line.row.exposed = line.exposed.seconds();
      rows.push_back(std::move(line.row));
    }
    return rows;
  }

 private:
  struct Line {
    CommunicationRow row;
    SimTime time, exposed;
  };
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

  Line& line_for(std::int32_t collective) {
    const auto index = static_cast<std::size_t>(collective);
    if (line_of_[index] == kNone) {
      const CollectiveInfo& info = notes_.collectives[index];
      auto line = std::find_if(lines_.begin(), lines_.end(), [&info](const Line& l) {
        return l.row.operation == info.operation && l.row.group == info.group;
      });
      line_of_[index] = static_cast<std::size_t>(line - lines_.begin());
      if (line == lines_.end()) {
        lines_.emplace_back();
        lines_.back().row.operation = info.operation;
        lines_.back().row.group = info.group;
      }
    }
    return lines_[line_of_[index]];
  }

  const Annotations& notes_;
  std::vector<std::size_t> line_of_;
  std::vector<Line> lines_;
};

void add_tasks(CommunicationTable& table, const TaskGraph& graph, const Timeline& timeline,
               const Annotations& notes, std::uint32_t device) {
  const int last_step = notes.steps - 1;
  for (TaskId t = 0; t < graph.size(); ++t) {
    const TaskInfo& info = notes.tasks[t];
    if (info.step != last_step || device_of(graph, notes, t) != device) continue;
    if (info.share >= 0) {
      for (const SegmentShare::CollectiveUse& use :
           notes.shares[static_cast<std::size_t>(info.share)].collectives) {
        table.add(use.collective, use.count, use.ps, true);
      }
    } else if (info.collective >= 0 && info.activity != Activity::kJoin &&
               info.activity != Activity::kHost) {
      table.add(info.collective, 1, timeline.duration(t).ps, info.activity != Activity::kReceive);
    }
  }
}

}  // namespace

StepWindow step_window(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes) {
  require_match(graph, timeline, notes);
  const int last_step = notes.steps - 1;
  std::vector<std::optional<SimTime>> ends(notes.devices.size());
  std::vector<SimTime> begins(notes.devices.size());
  for (TaskId t = 0; t < graph.size(); ++t) {
    const TaskInfo& info = notes.tasks[t];
    // Ranks meet in joins, which are nobody's.
    if (graph.hot(t).stream == kNoStream && info.activity == Activity::kJoin) continue;
    const std::uint32_t device = device_of(graph, notes, t);
    if (info.step == last_step) {
      ends[device] = std::max(ends[device].value_or(SimTime()), timeline.end[t]);
    } else if (info.step == last_step - 1) {
      begins[device] = std::max(begins[device], timeline.end[t]);
    }
  }
  std::optional<std::uint32_t> slowest;
  for (std::uint32_t d = 0; d < notes.devices.size(); ++d) {
    if (!ends[d]) continue;
    if (!slowest || *ends[d] > *ends[*slowest] ||
        (*ends[d] == *ends[*slowest] && notes.devices[d].rank < notes.devices[*slowest].rank)) {
      slowest = d;
    }
  }
  if (!slowest) return {};
  return {*slowest, std::min(begins[*slowest], *ends[*slowest]), *ends[*slowest]};
}

StepAccount step_account(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes,
                         const StepWindow& window) {
  require_match(graph, timeline, notes);
  StepWalk walk(graph, timeline, notes, window);
  walk.run();

  CommunicationTable table(notes);
  add_tasks(table, graph, timeline, notes, window.device);
  for (std::size_t i = 0; i < walk.exposed_ps().size(); ++i) {
    if (walk.exposed_ps()[i] != 0) {
      table.add_exposed(static_cast<std::int32_t>(i), walk.exposed_ps()[i]);
    }
  }
  return {walk.parts(), std::move(table).rows()};
}

Breakdown breakdown(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes,
                    const StepWindow& window) {
  return to_breakdown(step_account(graph, timeline, notes, window).parts);
}

Breakdown to_breakdown(const StepParts& parts) {
  return {parts.compute.seconds(), parts.exposed_communication.seconds(),
          parts.pipeline_bubble.seconds(), parts.host.seconds(), parts.optimizer.seconds()};
}

std::vector<CommunicationRow> communication_table(const TaskGraph& graph, const Timeline& timeline,
                                                  const Annotations& notes,
                                                  const StepWindow& window) {
  return step_account(graph, timeline, notes, window).communication;
}

double bubble_over_total(const Breakdown& parts) {
  const Seconds total = parts.total();
  return total.value > 0 ? ratio(parts.pipeline_bubble, total) : 0.0;
}

double bubble_over_ideal(const Breakdown& parts) {
  const Seconds ideal = parts.total() - parts.pipeline_bubble;
  return ideal.value > 0 ? ratio(parts.pipeline_bubble, ideal) : 0.0;
}

}  // namespace rehearse
