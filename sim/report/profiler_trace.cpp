#include "sim/report/profiler_trace.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "sim/base/error.hpp"
#include "sim/report/kernel_class.hpp"

namespace rehearse {
namespace {

using Json = nlohmann::json;
using Intervals = std::vector<std::pair<double, double>>;

// zlib reads what is not compressed as it is.
std::string read_text(const std::string& path) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> file(gzopen(path.c_str(), "rb"), gzclose);
  if (!file) throw UserError({path, 0, 0}, "cannot read the trace");
  std::string text;
  char buffer[1 << 16];
  for (int n = 0; (n = gzread(file.get(), buffer, sizeof buffer)) != 0;) {
    if (n < 0) throw UserError({path, 0, 0}, "the compressed file is damaged");
    text.append(buffer, static_cast<std::size_t>(n));
  }
  return text;
}

bool on_gpu(const Json& event) {
  if (!event.is_object() || !event.contains("cat") || event.value("ph", "") != "X") return false;
  const std::string category = event.value("cat", "");
  return category == "kernel" || category == "gpu_memcpy" || category == "gpu_memset";
}

void begin_at_zero(GpuTrace& trace) {
  std::stable_sort(trace.kernels.begin(), trace.kernels.end(),
                   [](const GpuKernel& a, const GpuKernel& b) { return a.start < b.start; });
  if (trace.kernels.empty()) return;
  const Seconds first = trace.kernels.front().start;
  for (GpuKernel& k : trace.kernels) {
    k.start = k.start - first;
    k.end = k.end - first;
  }
}

// Times in which any of them runs, disjoint and in order.
template <class Chosen>
Intervals united(const GpuTrace& trace, const Chosen& chosen) {
  Intervals out;
  for (const GpuKernel& k : trace.kernels) {
    if (!chosen(k)) continue;
    if (out.empty() || k.start.value > out.back().second)
      out.emplace_back(k.start.value, k.end.value);
    else
      out.back().second = std::max(out.back().second, k.end.value);
  }
  return out;
}

double length(const Intervals& intervals) {
  double sum = 0;
  for (const auto& [begin, end] : intervals) sum += end - begin;
  return sum;
}

bool communicates(const GpuKernel& k) { return is_collective(classify_kernel(k.name)); }

void append(Json& events, const GpuTrace& trace, int process, const char* title) {
  events.push_back({{"ph", "M"},
                    {"name", "process_name"},
                    {"pid", process},
                    {"args", {{"name", fmt::format("{}, rank {}", title, trace.rank)}}}});
  for (const GpuKernel& k : trace.kernels)
    events.push_back({{"ph", "X"},
                      {"cat", "kernel"},
                      {"name", k.name},
                      {"pid", process},
                      {"tid", k.stream},
                      {"ts", k.start.value * 1e6},
                      {"dur", (k.end - k.start).value * 1e6}});
}

}  // namespace

Seconds GpuTrace::span() const {
  Seconds end{0};
  for (const GpuKernel& k : kernels) end = max(end, k.end);
  return end;
}

GpuTrace read_profiler_trace(const std::string& path) {
  const Json trace = Json::parse(read_text(path), nullptr, false);
  if (trace.is_discarded()) throw UserError({path, 0, 0}, "the trace is not JSON");
  GpuTrace out;
  if (trace.is_object() && trace.contains("distributedInfo"))
    out.rank = trace["distributedInfo"].value("rank", 0);
  const Json& events =
      trace.is_object() && trace.contains("traceEvents") ? trace["traceEvents"] : trace;
  for (const Json& e : events) {
    if (!on_gpu(e)) continue;
    const double start = e.value("ts", 0.0) * 1e-6, duration = e.value("dur", 0.0) * 1e-6;
    const int stream = e.contains("args") ? e["args"].value("stream", 0) : 0;
    out.kernels.push_back({e.value("name", ""), stream, Seconds(start), Seconds(start + duration)});
  }
  if (out.kernels.empty())
    throw UserError({path, 0, 0}, "the trace has no kernels",
                    "record it with torch.profiler and ProfilerActivity.CUDA");
  begin_at_zero(out);
  return out;
}

GpuTrace simulated_gpu_trace(const TaskGraph& graph, const Timeline& timeline,
                             const Annotations& notes, std::uint32_t device) {
  GpuTrace out;
  out.rank = notes.devices[device].rank;
  for (TaskId t = 0; t < graph.size(); ++t) {
    const TaskInfo& info = notes.tasks[t];
    const bool runs = info.activity != Activity::kHost && info.activity != Activity::kJoin;
    if (info.device != device || !runs || info.step + 1 != notes.steps) continue;
    if (graph.hot(t).stream == kNoStream || timeline.end[t] <= timeline.start[t]) continue;
    out.kernels.push_back({notes.names[info.name], static_cast<int>(graph.hot(t).stream),
                           timeline.start[t].seconds(), timeline.end[t].seconds()});
  }
  begin_at_zero(out);
  return out;
}

Seconds busy_time(const GpuTrace& trace) {
  return Seconds(length(united(trace, [](const GpuKernel&) { return true; })));
}

Seconds overlapped_time(const GpuTrace& trace) {
  const double collectives = length(united(trace, communicates));
  const double others = length(united(trace, [](const GpuKernel& k) { return !communicates(k); }));
  return Seconds(collectives + others - busy_time(trace).value);
}

std::string side_by_side_trace(const GpuTrace& measured, const GpuTrace& simulated) {
  Json events = Json::array();
  append(events, measured, 0, "measured");
  append(events, simulated, 1, "simulated");
  return Json{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events)}}.dump(
             -1, ' ', false, Json::error_handler_t::replace) +
         "\n";
}

}  // namespace rehearse
