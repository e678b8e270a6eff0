#pragma once

#include <initializer_list>
#include <string>
#include <utility>

#include "sim/report/run_report.hpp"

namespace rehearse::test {

// A graph, its annotations and its timeline, built by hand. Every device has a host, a compute and
// a communication stream, named in that order.
class ReportGraph {
 public:
  struct Device {
    std::uint32_t id;
    StreamId host, compute, communication;
  };

  Device device(int rank, int pipeline_stage = 0) {
    const auto id = static_cast<std::uint32_t>(notes.devices.size());
    notes.devices.push_back({rank, pipeline_stage, 1});
    const StreamId host = stream(id, "host", StreamClass::kIndependent);
    const StreamId compute = stream(id, "compute", StreamClass::kForeground);
    const StreamId communication = stream(id, "communication", StreamClass::kBackground);
    notes.compute_stream.push_back(compute);
    return {id, host, compute, communication};
  }

  StreamId stream(std::uint32_t device, std::string name, StreamClass cls) {
    notes.streams.push_back({device, std::move(name)});
    return builder.add_stream(device, cls);
  }

  TaskId task(StreamId stream, Activity activity, std::int64_t ps,
              std::initializer_list<TaskId> after = {}) {
    const TaskId id = builder.add_task(stream, SimTime(ps));
    for (const TaskId p : after) builder.add_edge(p, id);
    TaskInfo info;
    info.activity = activity;
    info.step = static_cast<std::uint8_t>(step);
    info.name = name("task");
    if (stream != kNoStream) info.device = notes.streams[stream].device;
    notes.tasks.push_back(info);
    return id;
  }
  TaskId join(std::int64_t ps, std::initializer_list<TaskId> after) {
    return task(kNoStream, Activity::kJoin, ps, after);
  }
  TaskId communicate(StreamId stream, Activity activity, std::int64_t ps, std::int32_t collective,
                     std::initializer_list<TaskId> after = {}) {
    const TaskId id = task(stream, activity, ps, after);
    notes.tasks[id].collective = collective;
    return id;
  }

  std::int32_t collective(std::string operation, std::string group, std::int64_t payload,
                          std::int64_t wire) {
    notes.collectives.push_back(
        {std::move(operation), std::move(group), Bytes(payload), Bytes(wire)});
    return static_cast<std::int32_t>(notes.collectives.size()) - 1;
  }

  std::uint32_t name(const std::string& text) {
    for (std::uint32_t i = 0; i < notes.names.size(); ++i) {
      if (notes.names[i] == text) return i;
    }
    notes.names.push_back(text);
    return static_cast<std::uint32_t>(notes.names.size()) - 1;
  }

  // Runs the graph; nothing can be added after.
  void run() {
    notes.steps = step + 1;
    graph = std::move(builder).freeze();
    timeline = simulate(graph);
  }
  StepWindow window() const { return step_window(graph, timeline, notes); }
  StepAccount account() const { return step_account(graph, timeline, notes, window()); }

  TaskGraphBuilder builder;
  Annotations notes;
  TaskGraph graph;
  Timeline timeline;
  int step = 0;  // of the tasks that are added
};

}  // namespace rehearse::test
