#include "sim/engine/task_graph.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace rehearse {
namespace {

// Turns counts, shifted by one, into the offsets of a CSR.
void accumulate_offsets(std::vector<std::uint32_t>& offsets) {
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
}

bool some_domain_has_both(const std::vector<std::uint32_t>& domains,
                          const std::vector<StreamClass>& classes) {
  std::vector<std::uint32_t> foreground;
  for (std::size_t s = 0; s < domains.size(); ++s) {
    if (classes[s] == StreamClass::kForeground) foreground.push_back(domains[s]);
  }
  std::sort(foreground.begin(), foreground.end());
  for (std::size_t s = 0; s < domains.size(); ++s) {
    if (classes[s] == StreamClass::kBackground &&
        std::binary_search(foreground.begin(), foreground.end(), domains[s])) {
      return true;
    }
  }
  return false;
}

}  // namespace

StreamId TaskGraphBuilder::add_stream(std::uint32_t domain, StreamClass cls) {
  if (stream_domain_.size() >= kNoStream) throw std::logic_error("too many streams");
  stream_domain_.push_back(domain);
  stream_class_.push_back(cls);
  return static_cast<StreamId>(stream_domain_.size() - 1);
}

TaskId TaskGraphBuilder::add_task(StreamId stream, SimTime duration) {
  if (stream != kNoStream && stream >= stream_domain_.size()) {
    throw std::logic_error("add_task: no such stream");
  }
  if (duration.ps < 0) throw std::logic_error("add_task: negative duration");
  // The last id is left free, so that `id + 1` and size() always fit.
  if (hot_.size() >= std::numeric_limits<TaskId>::max()) throw std::logic_error("too many tasks");
  hot_.push_back({duration.ps, stream, 0});
  return static_cast<TaskId>(hot_.size() - 1);
}

void TaskGraphBuilder::add_edge(TaskId from, TaskId to) {
  if (from >= to) throw std::logic_error("add_edge: an edge goes from a smaller id to a larger");
  edges_.emplace_back(from, to);
}

void TaskGraphBuilder::set_interference(double foreground_rate, double background_rate) {
  // Written so that a NaN fails too.
  if (!(foreground_rate > 0.0 && foreground_rate <= 1.0 && background_rate > 0.0 &&
        background_rate <= 1.0)) {
    throw std::logic_error("set_interference: a rate is in (0, 1]");
  }
  foreground_rate_ = foreground_rate;
  background_rate_ = background_rate;
}

void TaskGraphBuilder::reserve(std::size_t tasks, std::size_t edges) {
  hot_.reserve(tasks);
  edges_.reserve(edges);
}

TaskGraph TaskGraphBuilder::freeze() && {
  const std::size_t tasks = hot_.size();
  if (edges_.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw std::logic_error("too many edges");
  }
  TaskGraph graph;
  graph.hot_ = std::move(hot_);
  graph.stream_domain_ = std::move(stream_domain_);
  graph.stream_class_ = std::move(stream_class_);
  graph.foreground_rate_ = foreground_rate_;
  graph.background_rate_ = background_rate_;
  graph.interferes_ = (foreground_rate_ != 1.0 || background_rate_ != 1.0) &&
                      some_domain_has_both(graph.stream_domain_, graph.stream_class_);

  // Counting sort by source. `cursor` is where the next edge of a source goes.
  graph.offsets_.assign(tasks + 1, 0);
  for (const auto& [from, to] : edges_) {
    if (to >= tasks) throw std::logic_error("freeze: an edge to a task that was never added");
    ++graph.offsets_[from + 1];
    ++graph.hot_[to].indegree;
  }
  accumulate_offsets(graph.offsets_);
  graph.successors_.resize(edges_.size());
  std::vector<std::uint32_t> cursor(graph.offsets_.begin(), graph.offsets_.end() - 1);
  for (const auto& [from, to] : edges_) graph.successors_[cursor[from]++] = to;
  edges_ = {};
  for (std::size_t t = 0; t < tasks; ++t) {
    const auto first = graph.successors_.begin() + graph.offsets_[t];
    const auto last = graph.successors_.begin() + graph.offsets_[t + 1];
    if (!std::is_sorted(first, last)) std::sort(first, last);
  }

  // The same for the tasks of each stream; scanning ids upwards leaves them in issue order.
  graph.stream_offsets_.assign(graph.stream_count() + 1, 0);
  for (const auto& hot : graph.hot_) {
    if (hot.stream != kNoStream) ++graph.stream_offsets_[hot.stream + 1];
  }
  accumulate_offsets(graph.stream_offsets_);
  graph.stream_tasks_.resize(graph.stream_offsets_.back());
  cursor.assign(graph.stream_offsets_.begin(), graph.stream_offsets_.end() - 1);
  for (TaskId t = 0; t < tasks; ++t) {
    const StreamId stream = graph.hot_[t].stream;
    if (stream != kNoStream) graph.stream_tasks_[cursor[stream]++] = t;
  }
  return graph;
}

}  // namespace rehearse
