#include "sim/engine/task_graph.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "sim/base/huge_pages.hpp"

namespace rehearse {

StreamId TaskGraphBuilder::add_stream(std::uint32_t domain, StreamClass cls) {
  if (stream_domain_.size() >= kNoStream) throw std::logic_error("too many streams");
  stream_domain_.push_back(domain);
  stream_class_.push_back(cls);
  stream_classes_.push_back(
      cls == StreamClass::kIndependent ? 0 : std::uint64_t{1} << static_cast<unsigned>(cls));
  return static_cast<StreamId>(stream_domain_.size() - 1);
}

TaskId TaskGraphBuilder::add_task(StreamId stream, SimTime duration) {
  if (stream == kNoStream) return add_task(stream, duration, kIndependentTasks);
  if (stream >= stream_domain_.size()) throw std::logic_error("add_task: no such stream");
  return add_task(stream, duration, static_cast<TaskClass>(stream_class_[stream]));
}

TaskId TaskGraphBuilder::add_task(StreamId stream, SimTime duration, TaskClass cls) {
  if (stream != kNoStream && stream >= stream_domain_.size()) {
    throw std::logic_error("add_task: no such stream");
  }
  if (duration.ps < 0) throw std::logic_error("add_task: negative duration");
  // The last id is left free, so that `id + 1` and size() always fit.
  if (hot_.size() >= std::numeric_limits<TaskId>::max()) throw std::logic_error("too many tasks");
  if (cls >= classes_) throw std::logic_error("add_task: no such class");
  hot_.push_back({duration.ps, stream, 0});
  task_class_.push_back(cls);
  if (stream != kNoStream) stream_classes_[stream] |= std::uint64_t{1} << cls;
  return static_cast<TaskId>(hot_.size() - 1);
}

TransferId TaskGraphBuilder::add_transfer(Transfer transfer) {
  if (!(transfer.demand > 0)) throw std::logic_error("add_transfer: a demand is positive");
  for (const Crossing& c : transfer.crossings) {
    if (c.link >= links_) throw std::logic_error("add_transfer: no such link");
    if (!(c.weight > 0)) throw std::logic_error("add_transfer: a weight is positive");
  }
  transfers_.push_back(std::move(transfer));
  return static_cast<TransferId>(transfers_.size() - 1);
}

void TaskGraphBuilder::set_transfer(TaskId t, TransferId transfer) {
  if (t >= hot_.size() || hot_[t].stream == kNoStream) {
    throw std::logic_error("set_transfer: a task that is on no stream");
  }
  if (transfer >= transfers_.size()) throw std::logic_error("set_transfer: no such transfer");
  if (t >= task_transfer_.size()) task_transfer_.resize(t + 1, kNoTransfer);
  task_transfer_[t] = transfer;
}

void TaskGraphBuilder::add_edge(TaskId from, TaskId to) {
  if (from >= to) throw std::logic_error("add_edge: an edge goes from a smaller id to a larger");
  edges_.emplace_back(from, to);
}

TaskClass TaskGraphBuilder::add_class() {
  if (classes_ == kMaxTaskClasses) throw std::logic_error("add_class: too many classes");
  return static_cast<TaskClass>(classes_++);
}

void TaskGraphBuilder::hold(TaskId t, TaskClass as) {
  if (t >= hot_.size() || hot_[t].stream == kNoStream) {
    throw std::logic_error("hold: a task that is on no stream");
  }
  if (as >= classes_) throw std::logic_error("hold: no such class");
  if (t >= holds_.size()) holds_.resize(t + 1, kNoTaskClass);
  holds_[t] = as;
  stream_classes_[hot_[t].stream] |= std::uint64_t{1} << as;
}

void TaskGraphBuilder::set_rate(TaskClass of, TaskClass beside, double rate) {
  if (of >= classes_ || beside >= classes_) throw std::logic_error("set_rate: no such class");
  // Written so that a NaN fails too.
  if (!(rate > 0.0 && rate <= 1.0)) throw std::logic_error("set_rate: a rate is in (0, 1]");
  rates_[of * kMaxTaskClasses + beside] = rate;
}

void TaskGraphBuilder::set_interference(double foreground_rate, double background_rate) {
  set_rate(kForegroundTasks, kBackgroundTasks, foreground_rate);
  set_rate(kBackgroundTasks, kForegroundTasks, background_rate);
}

// Two streams of a domain with tasks that do not run beside each other at full rate?
bool TaskGraphBuilder::some_domain_interferes() const {
  std::uint64_t slowed_by[kMaxTaskClasses] = {};
  for (std::size_t a = 0; a < classes_; ++a)
    for (std::size_t b = 0; b < classes_; ++b)
      if (rates_[a * kMaxTaskClasses + b] != 1.0) slowed_by[a] |= std::uint64_t{1} << b;
  std::vector<std::pair<std::uint32_t, std::uint64_t>> streams;  // by domain
  for (std::size_t s = 0; s < stream_domain_.size(); ++s)
    streams.emplace_back(stream_domain_[s], stream_classes_[s]);
  std::sort(streams.begin(), streams.end());
  for (std::size_t i = 0; i < streams.size(); ++i) {
    std::uint64_t slow = 0;  // classes that slow some task of this stream
    for (std::size_t a = 0; a < classes_; ++a)
      if (((streams[i].second >> a) & 1U) != 0) slow |= slowed_by[a];
    for (std::size_t j = i; j-- > 0 && streams[j].first == streams[i].first;)
      if ((streams[j].second & slow) != 0) return true;
    for (std::size_t j = i + 1; j < streams.size() && streams[j].first == streams[i].first; ++j)
      if ((streams[j].second & slow) != 0) return true;
  }
  return false;
}

// Keeps the links that can fill up: a stream runs one task at a time, so at most the sum over
// streams of what their largest transfer takes is wanted of a link at once.
void TaskGraphBuilder::leave_out_roomy_links() {
  constexpr double kFull = 1 + 1e-9;  // rounding does not make links meet
  std::vector<std::pair<StreamId, TransferId>> used;
  std::vector<TransferId> last(stream_domain_.size(), kNoTransfer);
  for (TaskId t = 0; t < task_transfer_.size(); ++t) {
    if (task_transfer_[t] == kNoTransfer) continue;
    const StreamId s = hot_[t].stream;
    if (last[s] != task_transfer_[t]) used.emplace_back(s, task_transfer_[t]);
    last[s] = task_transfer_[t];
  }
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  std::vector<double> wanted(links_, 0), of_stream(links_, 0);
  for (std::size_t i = 0; i < used.size();) {
    std::vector<LinkId> touched;
    for (const StreamId s = used[i].first; i < used.size() && used[i].first == s; ++i) {
      const Transfer& transfer = transfers_[used[i].second];
      for (const Crossing& c : transfer.crossings) {
        if (of_stream[c.link] == 0) touched.push_back(c.link);
        of_stream[c.link] = std::max(of_stream[c.link], transfer.demand * c.weight);
      }
    }
    for (const LinkId l : touched) wanted[l] += std::exchange(of_stream[l], 0);
  }
  std::vector<LinkId> number(links_);
  std::size_t kept = 0;
  for (std::size_t l = 0; l < links_; ++l)
    number[l] = wanted[l] > kFull ? static_cast<LinkId>(kept++) : static_cast<LinkId>(links_);
  for (Transfer& transfer : transfers_) {
    std::erase_if(transfer.crossings, [&](const Crossing& c) { return number[c.link] == links_; });
    for (Crossing& c : transfer.crossings) c.link = number[c.link];
  }
  for (TransferId& t : task_transfer_)
    if (t != kNoTransfer && transfers_[t].crossings.empty()) t = kNoTransfer;
  while (!task_transfer_.empty() && task_transfer_.back() == kNoTransfer) task_transfer_.pop_back();
  links_ = kept;
}

void TaskGraphBuilder::reserve(std::size_t tasks, std::size_t edges) {
  reserve_large(hot_, tasks + 1);
  reserve_large(task_class_, tasks);
  reserve_large(edges_, edges);
}

TaskGraph TaskGraphBuilder::freeze() && {
  const std::size_t tasks = hot_.size();
  if (edges_.size() > std::numeric_limits<std::uint32_t>::max()) {
    throw std::logic_error("too many edges");
  }
  TaskGraph graph;
  graph.interferes_ = some_domain_interferes();
  leave_out_roomy_links();
  graph.hot_ = std::move(hot_);
  graph.stream_domain_ = std::move(stream_domain_);
  graph.stream_class_ = std::move(stream_class_);
  graph.task_class_ = std::move(task_class_);
  graph.classes_ = classes_;
  for (std::size_t a = 0; a < classes_; ++a)
    graph.rates_.insert(graph.rates_.end(), rates_.begin() + std::ptrdiff_t(a * kMaxTaskClasses),
                        rates_.begin() + std::ptrdiff_t(a * kMaxTaskClasses + classes_));
  graph.holds_ = std::move(holds_);
  graph.link_count_ = links_;
  graph.transfers_ = std::move(transfers_);
  graph.task_transfer_ = std::move(task_transfer_);

  // Counting sort by source. While edges are put in their places, a task's first_successor is where
  // its next one goes.
  resize_large(graph.indegree_, tasks);
  graph.hot_.push_back({0, kNoStream, 0});
  for (const auto& [from, to] : edges_) {
    if (to >= tasks) throw std::logic_error("freeze: an edge to a task that was never added");
    ++graph.hot_[from].first_successor;
    ++graph.indegree_[to];
  }
  std::uint32_t first = 0;
  for (TaskGraph::Hot& hot : graph.hot_) first += std::exchange(hot.first_successor, first);
  resize_large(graph.successors_, edges_.size());
  for (const auto& [from, to] : edges_) graph.successors_[graph.hot_[from].first_successor++] = to;
  edges_ = {};
  first = 0;
  for (std::size_t t = 0; t < tasks; ++t) {
    TaskId* const begin = graph.successors_.data() + first;
    first = std::exchange(graph.hot_[t].first_successor, first);
    TaskId* const end = graph.successors_.data() + first;
    if (!std::is_sorted(begin, end)) std::sort(begin, end);
  }

  // The same for the tasks of each stream; scanning ids upwards leaves them in issue order.
  graph.stream_offsets_.assign(graph.stream_count() + 1, 0);
  for (const auto& hot : graph.hot_) {
    if (hot.stream != kNoStream) ++graph.stream_offsets_[hot.stream + 1];
  }
  std::partial_sum(graph.stream_offsets_.begin(), graph.stream_offsets_.end(),
                   graph.stream_offsets_.begin());
  resize_large(graph.stream_tasks_, graph.stream_offsets_.back());
  std::vector<std::uint32_t> cursor(graph.stream_offsets_.begin(), graph.stream_offsets_.end() - 1);
  for (TaskId t = 0; t < tasks; ++t) {
    const StreamId stream = graph.hot_[t].stream;
    if (stream != kNoStream) graph.stream_tasks_[cursor[stream]++] = t;
  }
  return graph;
}

}  // namespace rehearse
