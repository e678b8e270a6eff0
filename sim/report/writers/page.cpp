#include "sim/report/writers/page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "sim/report/breakdown.hpp"
#include "sim/report/memory_timeline.hpp"
#include "sim/report/writers/page_template.hpp"
#include "sim/report/writers/writers.hpp"

namespace rehearse {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostDevices = 16;     // that are drawn
constexpr std::size_t kMostTasks = 60'000;   // the shortest are left out
constexpr std::size_t kMostMemory = 8;       // devices whose memory is drawn
constexpr std::size_t kMemoryPoints = 1000;  // of each

std::string page(const Json& data) {
  std::string text = data.dump(-1, ' ', false, Json::error_handler_t::replace);
  // Nothing in the data may end the element that it stands in.
  for (std::size_t at = 0; (at = text.find("</", at)) != std::string::npos; at += 3)
    text.replace(at, 2, "<\\/");
  constexpr std::string_view kMark = "@DATA@";
  std::string out(page_template());
  return out.replace(out.find(kMark), kMark.size(), text);
}

const char* activity_name(Activity a) {
  switch (a) {
    case Activity::kForward:
      return "forward";
    case Activity::kBackward:
      return "backward";
    case Activity::kRecompute:
      return "recompute";
    case Activity::kOptimizer:
      return "optimizer";
    case Activity::kHost:
      return "host";
    case Activity::kCollective:
      return "collective";
    case Activity::kSend:
      return "send";
    case Activity::kReceive:
      return "receive";
    case Activity::kJoin:
      break;
  }
  return "join";
}

double microseconds(SimTime t) { return static_cast<double>(t.ps) * 1e-6; }

// Devices that are drawn: evenly spread where there are many.
std::vector<std::uint32_t> drawn_devices(const Annotations& notes, std::size_t most) {
  const std::size_t n = notes.devices.size(), count = std::min(n, most);
  std::vector<std::uint32_t> out;
  for (std::size_t i = 0; i < count; ++i) out.push_back(static_cast<std::uint32_t>(i * n / count));
  return out;
}

struct Drawn {
  TaskId task;
  std::size_t lane;
};

// Tasks of the last step on the devices drawn; at most kMostTasks, the longest ones.
std::vector<Drawn> drawn_tasks(const TaskGraph& graph, const Timeline& timeline,
                               const Annotations& notes,
                               const std::map<StreamId, std::size_t>& lanes) {
  std::vector<Drawn> out;
  for (TaskId t = 0; t < graph.size(); ++t) {
    const auto lane = lanes.find(graph.hot(t).stream);
    if (lane == lanes.end() || notes.tasks[t].step + 1 != notes.steps) continue;
    if (timeline.end[t] > timeline.start[t]) out.push_back({t, lane->second});
  }
  if (out.size() <= kMostTasks) return out;
  const auto longer = [&](const Drawn& a, const Drawn& b) {
    const auto length = [&](TaskId t) { return timeline.end[t] - timeline.start[t]; };
    return length(a.task) != length(b.task) ? length(a.task) > length(b.task) : a.task < b.task;
  };
  std::nth_element(out.begin(), out.begin() + kMostTasks, out.end(), longer);
  out.resize(kMostTasks);
  std::sort(out.begin(), out.end(), [](const Drawn& a, const Drawn& b) { return a.task < b.task; });
  return out;
}

Json timeline_json(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes,
                   SimTime begin) {
  const std::vector<std::uint32_t> devices = drawn_devices(notes, kMostDevices);
  std::map<StreamId, std::size_t> lanes;
  Json lane_names = Json::array();
  for (const std::uint32_t device : devices)
    for (StreamId s = 0; s < notes.streams.size(); ++s)
      if (notes.streams[s].device == device) {
        lanes.emplace(s, lanes.size());
        lane_names.push_back(
            fmt::format("rank {} {}", notes.devices[device].rank, notes.streams[s].name));
      }
  std::map<std::uint32_t, std::size_t> names;
  Json name_list = Json::array(), tasks = Json::array(), activities = Json::array();
  for (int a = 0; a <= static_cast<int>(Activity::kJoin); ++a)
    activities.push_back(activity_name(static_cast<Activity>(a)));
  const auto drawn = drawn_tasks(graph, timeline, notes, lanes);
  for (const auto& [t, lane] : drawn) {
    const TaskInfo& info = notes.tasks[t];
    const std::uint32_t shown = info.label != 0 ? info.label : info.name;
    const auto [name, added] = names.emplace(shown, names.size());
    if (added) name_list.push_back(notes.names[shown]);
    tasks.push_back({lane, microseconds(timeline.start[t] - begin),
                     microseconds(timeline.end[t] - timeline.start[t]), name->second,
                     info.micro_batch, static_cast<int>(info.activity)});
  }
  Json json{{"lanes", lane_names}, {"names", name_list}, {"activities", activities}};
  json["tasks"] = std::move(tasks);
  std::string note = "The last of the simulated steps; the host may run ahead of the GPU.";
  if (devices.size() < notes.devices.size())
    note += fmt::format(" {} of {} simulated ranks.", devices.size(), notes.devices.size());
  if (drawn.size() == kMostTasks) note += " The shortest tasks are left out.";
  json["note"] = note;
  return json;
}

// Of each of kMemoryPoints spans of time the point with the most memory, so that no peak is lost.
Json memory_json(const Timeline& timeline, const Annotations& notes, const StepWindow& window) {
  Json out = Json::array();
  if (notes.memory.empty()) return out;
  for (const std::uint32_t device : drawn_devices(notes, kMostMemory)) {
    std::map<std::int64_t, MemoryPoint> largest;
    const std::int64_t length = std::max<std::int64_t>(1, (window.end - window.begin).ps);
    for (const MemoryPoint& p : memory_timeline(timeline, notes, device)) {
      if (p.at < window.begin || p.at > window.end) continue;
      const double share =
          static_cast<double>((p.at - window.begin).ps) / static_cast<double>(length);
      const auto bin = static_cast<std::int64_t>(share * static_cast<double>(kMemoryPoints));
      const auto [known, added] = largest.emplace(bin, p);
      if (!added && p.total() > known->second.total()) known->second = p;
    }
    Json points = Json::array();
    for (const auto& [bin, p] : largest) {
      Json point{microseconds(p.at - window.begin) * 1e-3};
      for (const std::int64_t bytes : p.bytes) point.push_back(bytes);
      points.push_back(std::move(point));
    }
    out.push_back({{"rank", notes.devices[device].rank},
                   {"stage", notes.devices[device].pipeline_stage},
                   {"points", std::move(points)}});
  }
  return out;
}

Json kernels_json(const std::vector<PageKernel>& kernels) {
  Json out = Json::array();
  for (const PageKernel& k : kernels)
    out.push_back({{"operator", k.label},
                   {"name", k.name},
                   {"count", k.count},
                   {"time_s", k.time.value},
                   {"total_s", k.time.value * static_cast<double>(k.count)},
                   {"flops", k.flops.value},
                   {"bytes", k.bytes.value}});
  return out;
}

std::string subtitle(const RunReport& r) {
  return fmt::format("{} on {} ({} GPUs), {}, {}, {}", r.model, r.cluster, r.gpus, r.plan_text,
                     r.runtime, r.precision);
}

}  // namespace

std::string run_page(const RunReport& report, const TaskGraph& graph, const Timeline& timeline,
                     const Annotations& notes, const PageDetails& details) {
  const StepWindow window = step_window(graph, timeline, notes);
  Json data{{"kind", "run"}, {"title", report.scenario}, {"subtitle", subtitle(report)}};
  data["runs"] = Json::array({Json::parse(run_json(report))});
  data["timeline"] = timeline_json(graph, timeline, notes, window.begin);
  data["memory"] = memory_json(timeline, notes, window);
  data["kernels"] = kernels_json(details.kernels);
  data["roofline"] = {{"name", details.roof},
                      {"peak_flops", details.peak.value},
                      {"bandwidth", details.bandwidth.value}};
  data["matrix"] = {{"labels", details.places}, {"bytes", details.sent}};
  return page(data);
}

std::string compare_page(const std::vector<RunReport>& reports) {
  Json data{{"kind", "compare"}, {"title", "Plans compared"}};
  if (!reports.empty()) data["subtitle"] = reports.front().model;
  data["runs"] = Json::parse(compare_json(reports))["runs"];
  return page(data);
}

std::string sweep_page(const PageSweep& sweep) {
  Json rows = Json::array();
  for (const auto& cells : sweep.rows) {
    Json row = Json::object();
    for (std::size_t i = 0; i < sweep.columns.size() && i < cells.size(); ++i)
      row[sweep.columns[i]] = Json::parse(cells[i]);
    rows.push_back(std::move(row));
  }
  Json data{{"kind", "sweep"}, {"title", sweep.title}};
  data["subtitle"] = fmt::format("{} points", sweep.rows.size());
  data["sweep"] = {{"keys", sweep.keys}, {"columns", sweep.columns}, {"rows", std::move(rows)}};
  return page(data);
}

}  // namespace rehearse
