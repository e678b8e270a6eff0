#include "tests/bench/graphs.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace rehearse::bench {
namespace {

constexpr std::int64_t kMicrosecond = 1'000'000;
constexpr TaskId kNoTask = kNoStream;

// Emits the passes of a pipeline in an order in which every pass comes after those it needs.
class PipelineWriter {
 public:
  PipelineWriter(const PipelineShape& shape, std::uint32_t microbatches);
  TaskGraph write() &&;

 private:
  struct Device {
    StreamId host;
    StreamId compute;
    StreamId send;
    StreamId collective;
    std::uint32_t forwards = 0;  // passes written
    std::uint32_t backwards = 0;
    TaskId previous_pass = kNoTask;  // last kernel
    TaskId pass_before_that = kNoTask;
  };

  bool write_next_pass(std::uint32_t stage);
  void write_pass(std::uint32_t stage, TaskId input, std::uint32_t receiver, TaskId& arrival);
  TaskId& arrival(std::vector<TaskId>& arrivals, std::uint32_t stage, std::uint32_t microbatch) {
    return arrivals[std::size_t{stage} * microbatches_ + microbatch];
  }

  PipelineShape shape_;
  std::uint32_t microbatches_;
  SplitMix64 random_;
  TaskGraphBuilder builder_;
  std::vector<Device> devices_;
  // When the activation or gradient that a pass needs has arrived; kNoTask: not yet written.
  std::vector<TaskId> activation_;
  std::vector<TaskId> gradient_;
};

std::size_t tasks_per_pass(const PipelineShape& shape) {
  return 2 * std::size_t{shape.kernels} + (shape.kernels + 7) / 8 + 2;
}

PipelineWriter::PipelineWriter(const PipelineShape& shape, std::uint32_t microbatches)
    : shape_(shape),
      microbatches_(microbatches),
      random_(shape.seed),
      activation_(std::size_t{shape.stages} * microbatches, kNoTask),
      gradient_(std::size_t{shape.stages} * microbatches, kNoTask) {
  for (std::uint32_t d = 0; d < shape.stages; ++d) {
    Device device{};
    device.host = builder_.add_stream(d, StreamClass::kIndependent);
    device.compute = builder_.add_stream(d, StreamClass::kForeground);
    device.send = builder_.add_stream(d, StreamClass::kBackground);
    device.collective = builder_.add_stream(d, StreamClass::kBackground);
    device.previous_pass = kNoTask;
    device.pass_before_that = kNoTask;
    devices_.push_back(device);
  }
  const std::size_t tasks = 2 * std::size_t{shape.stages} * microbatches * tasks_per_pass(shape);
  builder_.reserve(tasks, tasks);
  builder_.set_interference(shape.foreground_rate, shape.background_rate);
}

void PipelineWriter::write_pass(std::uint32_t stage, TaskId input, std::uint32_t receiver,
                                TaskId& arrival) {
  Device& device = devices_[stage];
  std::vector<std::pair<std::uint32_t, TaskId>> collectives;  // kernel that needs it, task
  TaskId kernel = kNoTask;
  for (std::uint32_t k = 0; k < shape_.kernels; ++k) {
    const TaskId issue =
        builder_.add_task(device.host, SimTime(random_.between(4, 8) * kMicrosecond));
    if (k == 0 && device.pass_before_that != kNoTask) {
      builder_.add_edge(device.pass_before_that, issue);
    }
    kernel = builder_.add_task(device.compute,
                               SimTime(random_.between(2 * kMicrosecond, 60 * kMicrosecond)));
    builder_.add_edge(issue, kernel);
    if (k == 0 && input != kNoTask) builder_.add_edge(input, kernel);
    for (const auto& [user, task] : collectives) {
      if (user == k) builder_.add_edge(task, kernel);
    }
    if (k % 8 == 0) {
      const TaskId collective = builder_.add_task(
          device.collective, SimTime(random_.between(20 * kMicrosecond, 200 * kMicrosecond)));
      builder_.add_edge(kernel, collective);
      collectives.emplace_back(k + 6, collective);
    }
  }
  device.pass_before_that = device.previous_pass;
  device.previous_pass = kernel;
  if (receiver >= shape_.stages) return;
  const TaskId send = builder_.add_task(
      device.send, SimTime(random_.between(30 * kMicrosecond, 50 * kMicrosecond)));
  builder_.add_edge(kernel, send);
  arrival = builder_.add_task(kNoStream, SimTime(5 * kMicrosecond));
  builder_.add_edge(send, arrival);
}

bool PipelineWriter::write_next_pass(std::uint32_t stage) {
  Device& device = devices_[stage];
  // 1F1B: stage s runs ahead of its backward passes by (stages - s) forward passes at most.
  const std::uint32_t ahead = shape_.stages - stage;
  const bool forward =
      device.forwards < microbatches_ && device.forwards - device.backwards < ahead;
  if (forward) {
    const std::uint32_t m = device.forwards;
    const TaskId input = stage == 0 ? kNoTask : arrival(activation_, stage, m);
    if (stage != 0 && input == kNoTask) return false;
    TaskId unused = kNoTask;
    const bool last = stage + 1 == shape_.stages;
    write_pass(stage, input, stage + 1, last ? unused : arrival(activation_, stage + 1, m));
    ++device.forwards;
    return true;
  }
  if (device.backwards == microbatches_) return false;
  const std::uint32_t m = device.backwards;
  const bool last = stage + 1 == shape_.stages;
  const TaskId input = last ? kNoTask : arrival(gradient_, stage, m);
  if (!last && input == kNoTask) return false;
  TaskId unused = kNoTask;
  // Stage 0 has nobody to send to; `stages` says so.
  write_pass(stage, input, stage == 0 ? shape_.stages : stage - 1,
             stage == 0 ? unused : arrival(gradient_, stage - 1, m));
  ++device.backwards;
  return true;
}

TaskGraph PipelineWriter::write() && {
  bool progress = true;
  while (progress) {
    progress = false;
    for (std::uint32_t stage = 0; stage < shape_.stages; ++stage) {
      progress |= write_next_pass(stage);
    }
  }
  return std::move(builder_).freeze();
}

}  // namespace

TaskGraph pipeline_graph(const PipelineShape& shape) {
  const std::size_t per_microbatch = 2 * std::size_t{shape.stages} * tasks_per_pass(shape);
  const auto microbatches =
      static_cast<std::uint32_t>((shape.tasks + per_microbatch - 1) / per_microbatch);
  return PipelineWriter(shape, std::max(1U, microbatches)).write();
}

namespace {

// Some twenty transfers, each over one to three links, of which it takes a tenth to all.
std::vector<TransferId> add_transfers(TaskGraphBuilder& builder, std::uint32_t links,
                                      SplitMix64& random) {
  std::vector<TransferId> out;
  for (std::uint32_t l = 0; l < links; ++l) builder.add_link();
  for (int i = 0; links > 0 && i < 20; ++i) {
    Transfer t;
    t.demand = static_cast<double>(random.between(1, 10)) / 10;
    const auto first = random.between(0, links - 1);
    const auto crossed = random.between(1, std::min<std::int64_t>(3, links));
    for (std::int64_t c = 0; c < crossed; ++c)
      t.crossings.push_back({static_cast<LinkId>((first + c) % links),
                             static_cast<double>(random.between(1, 4)) / 4});
    out.push_back(builder.add_transfer(t));
  }
  return out;
}

}  // namespace

TaskGraph random_graph(const RandomShape& shape) {
  SplitMix64 random(shape.seed);
  TaskGraphBuilder builder;
  builder.set_interference(shape.foreground_rate, shape.background_rate);
  std::vector<TaskClass> classes;
  for (std::uint32_t c = 0; c < shape.classes; ++c) classes.push_back(builder.add_class());
  for (const TaskClass c : classes)
    for (TaskClass other = 0; other <= classes.back(); ++other)
      builder.set_rate(c, other, static_cast<double>(random.between(1, 30)) / 30);
  std::vector<StreamId> streams;
  for (std::uint32_t d = 0; d < shape.domains; ++d) {
    // Numbers of domains are names: neither dense nor in order.
    const std::uint32_t domain = 1000 - 7 * d;
    streams.push_back(builder.add_stream(domain, StreamClass::kIndependent));
    streams.push_back(builder.add_stream(domain, StreamClass::kForeground));
    streams.push_back(builder.add_stream(domain, StreamClass::kForeground));
    streams.push_back(builder.add_stream(domain, StreamClass::kBackground));
    streams.push_back(builder.add_stream(domain, StreamClass::kBackground));
  }
  const std::vector<TransferId> transfers = add_transfers(builder, shape.links, random);
  std::vector<std::pair<TaskId, TaskId>> edges;
  for (std::uint32_t i = 0; i < shape.tasks; ++i) {
    const auto pick = random.between(0, static_cast<std::int64_t>(streams.size()) + 2);
    const StreamId stream = static_cast<std::size_t>(pick) < streams.size()
                                ? streams[static_cast<std::size_t>(pick)]
                                : kNoStream;
    // Few distinct durations, so that many tasks end at the same instant; some take no time.
    const SimTime duration(random.between(0, 6) * 1000);
    const bool own = !classes.empty() && random.between(0, 1) == 1;
    const TaskId task =
        own ? builder.add_task(stream, duration,
                               classes[static_cast<std::size_t>(random.between(
                                   0, static_cast<std::int64_t>(classes.size()) - 1))])
            : builder.add_task(stream, duration);
    if (!transfers.empty() && stream != kNoStream && random.between(0, 1) == 1)
      builder.set_transfer(task, transfers[static_cast<std::size_t>(random.between(
                                     0, static_cast<std::int64_t>(transfers.size()) - 1))]);
    if (shape.holds && stream != kNoStream && random.between(0, 2) == 0)
      builder.hold(task,
                   static_cast<TaskClass>(random.between(0, classes.empty() ? 2 : classes.back())));
    const std::int64_t inputs = std::min<std::int64_t>(task, random.between(0, 3));
    for (std::int64_t e = 0; e < inputs; ++e) {
      const std::int64_t back = random.between(1, std::min<std::int64_t>(task, 40));
      edges.emplace_back(static_cast<TaskId>(task - back), task);
    }
  }
  if (shape.reverse_edges) std::reverse(edges.begin(), edges.end());
  for (const auto& [from, to] : edges) builder.add_edge(from, to);
  return std::move(builder).freeze();
}

}  // namespace rehearse::bench
