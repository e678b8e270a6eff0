#include <fmt/compile.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>

#include "sim/report/kernel_time.hpp"
#include "sim/report/memory_timeline.hpp"
#include "sim/report/writers/writers.hpp"

namespace rehearse {
namespace {

// The Trace Event Format, as PyTorch's profiler writes it: complete events ("X") with kernels,
// communication and host work told apart by category, flow events ("s", "f") from a send to its
// receive, counter events ("C") for memory, and metadata ("M") that names and sorts the rows.
//
// Times are microseconds with six decimals, which are whole picoseconds: nothing is rounded, so
// slices of a stream that touch do not overlap. Threads count from 1, as viewers keep 0 for idle.
// Messages that arrive are delays on no stream; they get threads of their own after those of the
// streams, as many as are on their way to a device at once.
class ChromeTrace {
 public:
  ChromeTrace(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes)
      : graph_(graph), timeline_(timeline), notes_(notes) {
    threads_.assign(notes.streams.size(), 0);
    std::vector<int> next(notes.devices.size(), 1);
    for (std::size_t s = 0; s < notes.streams.size(); ++s) {
      threads_[s] = next[notes.streams[s].device]++;
    }
    place_arrivals(next);
    for (const std::string& name : notes.names) names_.push_back(quoted(name));
  }

  std::string write() && {
    out_.reserve(256 * graph_.size() + 4096);
    append("{{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
    write_metadata();
    for (TaskId t = 0; t < graph_.size(); ++t) {
      if (drawn(t)) write_slice(t);
    }
    write_flows();
    for (std::uint32_t d = 0; d < notes_.devices.size(); ++d) write_memory(d);
    append("\n]}}\n");
    return fmt::to_string(out_);
  }

 private:
  static std::string quoted(const std::string& text) {
    return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  template <class... Args>
  void append(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }
  void append_text(std::string_view text) { out_.append(text); }
  void append_time(SimTime time) {
    constexpr std::int64_t kPicosecondsPerMicrosecond = 1'000'000;
    fmt::format_to(std::back_inserter(out_), FMT_COMPILE("{}.{:06}"),
                   time.ps / kPicosecondsPerMicrosecond, time.ps % kPicosecondsPerMicrosecond);
  }
  void begin_event() {
    append_text(first_ ? "\n" : ",\n");
    first_ = false;
  }
  void append_place(std::uint32_t device, int thread) {
    fmt::format_to(std::back_inserter(out_), FMT_COMPILE("\"pid\":{},\"tid\":{}"),
                   notes_.devices[device].rank, thread);
  }
  void append_place(StreamId stream) {
    append_place(notes_.streams[stream].device, threads_[stream]);
  }
  void append_place_of(TaskId t) {
    if (const StreamId stream = graph_.hot(t).stream; stream != kNoStream)
      append_place(stream);
    else
      append_place(notes_.tasks[t].device, arrivals_.at(t));
  }

  bool arrives(TaskId t) const {
    return graph_.hot(t).stream == kNoStream && notes_.tasks[t].activity == Activity::kReceive;
  }
  bool drawn(TaskId t) const {
    const bool somewhere = graph_.hot(t).stream != kNoStream || arrives(t);
    return somewhere && notes_.tasks[t].activity != Activity::kJoin &&
           timeline_.end[t] > timeline_.start[t];
  }

  // Each arrival, in the order of starts, on the first thread of its device that is free.
  void place_arrivals(const std::vector<int>& first) {
    first_arrival_ = first;
    arrival_ends_.resize(notes_.devices.size());
    std::vector<TaskId> order;
    for (TaskId t = 0; t < graph_.size(); ++t)
      if (arrives(t) && drawn(t)) order.push_back(t);
    std::stable_sort(order.begin(), order.end(),
                     [&](TaskId a, TaskId b) { return timeline_.start[a] < timeline_.start[b]; });
    for (const TaskId t : order) {
      const std::uint32_t device = notes_.tasks[t].device;
      auto& ends = arrival_ends_[device];
      const auto free = std::find_if(ends.begin(), ends.end(),
                                     [&](SimTime end) { return end <= timeline_.start[t]; });
      arrivals_[t] = first[device] + static_cast<int>(free - ends.begin());
      if (free == ends.end())
        ends.push_back(timeline_.end[t]);
      else
        *free = timeline_.end[t];
    }
  }

  void write_metadata() {
    for (const DeviceInfo& device : notes_.devices) {
      begin_event();
      append(R"({{"ph":"M","name":"process_name","pid":{0},"args":{{"name":"rank {0}"}}}})",
             device.rank);
      begin_event();
      append(R"({{"ph":"M","name":"process_labels","pid":{},"args":{{"labels":"{}"}}}})",
             device.rank, label_of(device));
      begin_event();
      append(R"({{"ph":"M","name":"process_sort_index","pid":{0},"args":{{"sort_index":{0}}}}})",
             device.rank);
    }
    for (StreamId s = 0; s < notes_.streams.size(); ++s)
      write_thread(notes_.streams[s].device, threads_[s], notes_.streams[s].name);
    for (std::uint32_t d = 0; d < notes_.devices.size(); ++d)
      for (std::size_t i = 0; i < arrival_ends_[d].size(); ++i)
        write_thread(d, first_arrival_[d] + static_cast<int>(i), "receive");
  }

  void write_thread(std::uint32_t device, int thread, const std::string& name) {
    begin_event();
    append_text(R"({"ph":"M","name":"thread_name",)");
    append_place(device, thread);
    append(R"(,"args":{{"name":{}}}}})", quoted(name));
    begin_event();
    append_text(R"({"ph":"M","name":"thread_sort_index",)");
    append_place(device, thread);
    append(R"(,"args":{{"sort_index":{}}}}})", thread);
  }

  static std::string label_of(const DeviceInfo& device) {
    std::string label = fmt::format("pipeline stage {}", device.pipeline_stage);
    if (device.represents > 1) label += fmt::format(", as {} ranks do", device.represents);
    return label;
  }

  static std::string_view category(Activity activity) {
    switch (activity) {
      case Activity::kForward:
      case Activity::kBackward:
      case Activity::kRecompute:
      case Activity::kOptimizer:
        return "kernel";
      case Activity::kHost:
        return "cpu_op";
      case Activity::kCollective:
      case Activity::kSend:
      case Activity::kReceive:
      case Activity::kJoin:
        return "communication";
    }
    return "kernel";
  }

  // Which part of the step a kernel belongs to; empty for what is no kernel.
  static std::string_view phase(Activity activity) {
    switch (activity) {
      case Activity::kForward:
        return "forward";
      case Activity::kBackward:
        return "backward";
      case Activity::kRecompute:
        return "recompute";
      case Activity::kOptimizer:
        return "optimizer";
      case Activity::kHost:
      case Activity::kCollective:
      case Activity::kSend:
      case Activity::kReceive:
      case Activity::kJoin:
        return "";
    }
    return "";
  }

  void write_slice(TaskId t) {
    const TaskInfo& info = notes_.tasks[t];
    begin_event();
    append_text(R"({"ph":"X","name":)");
    append_text(names_[info.name]);
    append_text(R"(,"cat":")");
    append_text(category(info.activity));
    append_text("\",");
    append_place_of(t);
    append_text(R"(,"ts":)");
    append_time(timeline_.start[t]);
    append_text(R"(,"dur":)");
    append_time(time_at_work(graph_, timeline_, notes_, t));
    fmt::format_to(std::back_inserter(out_), FMT_COMPILE(",\"args\":{{\"step\":{}"), info.step);
    if (const auto part = phase(info.activity); !part.empty()) append(R"(,"phase":"{}")", part);
    if (info.label != 0) append(R"(,"operator":{})", names_[info.label]);
    if (info.micro_batch >= 0) append(R"(,"micro_batch":{})", info.micro_batch);
    if (info.chunk >= 0) append(R"(,"chunk":{})", info.chunk);
    if (info.collective >= 0) {
      const CollectiveInfo& collective =
          notes_.collectives[static_cast<std::size_t>(info.collective)];
      append(R"(,"group":{},"bytes":{},"wire_bytes_per_rank":{})", quoted(collective.group),
             collective.payload.value, collective.wire_bytes_per_rank.value);
    }
    append_text("}}");
  }

  // Sends and receives of one number are paired in the order of their ids; an arrow needs both.
  void write_flows() {
    struct End {
      std::uint32_t flow;
      TaskId task;
    };
    std::vector<End> sends;
    std::vector<End> receives;
    for (TaskId t = 0; t < graph_.size(); ++t) {
      const TaskInfo& info = notes_.tasks[t];
      if (info.flow == 0 || !drawn(t)) continue;
      if (info.activity == Activity::kSend) sends.push_back({info.flow, t});
      if (info.activity == Activity::kReceive) receives.push_back({info.flow, t});
    }
    const auto by_flow = [](const End& a, const End& b) { return a.flow < b.flow; };
    std::stable_sort(sends.begin(), sends.end(), by_flow);
    std::stable_sort(receives.begin(), receives.end(), by_flow);
    auto receive = receives.begin();
    for (const End& send : sends) {
      while (receive != receives.end() && receive->flow < send.flow) ++receive;
      if (receive == receives.end()) break;
      if (receive->flow == send.flow) write_flow(send.task, (receive++)->task);
    }
  }

  void write_flow(TaskId send, TaskId receive) {
    // An arrow does not point back in time, and its ends lie inside their slices.
    const SimTime from = timeline_.start[send];
    const SimTime to = std::max(from, timeline_.start[receive]);
    if (to >= timeline_.end[receive]) return;
    ++flows_;
    const auto write = [&](std::string_view head, TaskId t, SimTime at) {
      begin_event();
      append_text(head);
      append(R"(,"name":"transfer","cat":"flow","id":{},)", flows_);
      append_place_of(t);
      append_text(R"(,"ts":)");
      append_time(at);
      append_text("}");
    };
    write(R"({"ph":"s")", send, from);
    write(R"({"ph":"f","bp":"e")", receive, to);
  }

  void write_memory(std::uint32_t device) {
    static constexpr std::array<const char*, kMemoryCategories> kNames{
        "parameters", "gradients", "optimizer_states", "activations", "temporary"};
    for (const MemoryPoint& point : memory_timeline(timeline_, notes_, device)) {
      begin_event();
      append(R"({{"ph":"C","name":"memory","pid":{},"ts":)", notes_.devices[device].rank);
      append_time(point.at);
      append_text(R"(,"args":{)");
      for (std::size_t i = 0; i < kNames.size(); ++i) {
        append(R"({}"{}":{})", i == 0 ? "" : ",", kNames[i], point.bytes[i]);
      }
      append_text("}}");
    }
  }

  const TaskGraph& graph_;
  const Timeline& timeline_;
  const Annotations& notes_;
  std::vector<int> threads_;        // by stream: its number among its device's
  std::map<TaskId, int> arrivals_;  // messages that arrive: the same
  std::vector<int> first_arrival_;  // by device: the first number after its streams'
  std::vector<std::vector<SimTime>> arrival_ends_;  // by device and thread: when it is free
  std::vector<std::string> names_;                  // as JSON strings
  fmt::memory_buffer out_;
  bool first_ = true;
  std::uint64_t flows_ = 0;
};

}  // namespace

std::string chrome_trace(const TaskGraph& graph, const Timeline& timeline,
                         const Annotations& notes) {
  return ChromeTrace(graph, timeline, notes).write();
}

}  // namespace rehearse
