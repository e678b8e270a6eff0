#include "sim/engine/interference.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>

namespace rehearse {

Interference::Interference(const TaskGraph& graph)
    : graph_(graph),
      classes_(graph.class_count()),
      streams_(graph.stream_count()),
      links_(std::vector<double>(graph.link_count(), 1.0), graph.stream_count()) {
  for (std::size_t a = 0; a < classes_; ++a)
    for (std::size_t b = 0; b < classes_; ++b)
      rates_.push_back(
          to_rate_parts(graph.rate(static_cast<TaskClass>(a), static_cast<TaskClass>(b))));
  std::map<std::uint32_t, std::vector<StreamId>> together;
  if (graph.classes_interfere())
    for (StreamId s = 0; s < graph.stream_count(); ++s)
      if (graph.stream_class(s) != StreamClass::kIndependent)
        together[graph.domain(s)].push_back(s);
  for (auto& [number, streams] : together) {
    if (streams.size() < 2) continue;
    for (const StreamId s : streams) {
      streams_[s].domain = static_cast<std::uint32_t>(domains_.size());
      streams_[s].tracked = true;
    }
    domains_.push_back({std::move(streams)});
  }
  if (graph.link_count() > 0)
    for (TaskId t = 0; t < graph.size(); ++t)
      if (graph.transfer_of(t) != kNoTransfer) streams_[graph.hot(t).stream].tracked = true;
  touched_.reserve(domains_.size());
}

void Interference::touch(StreamId s) {
  const std::uint32_t domain = streams_[s].domain;
  if (domain == kNoDomain || domains_[domain].touched) return;
  domains_[domain].touched = true;
  touched_.push_back(domain);
}

std::int64_t Interference::begin(StreamId s, TaskId t, std::int64_t now) {
  Stream& stream = streams_[s];
  stream.settled_ps = now;
  stream.left = Work{graph_.hot(t).duration_ps, 0};
  stream.cls = graph_.task_class(t);
  stream.running = true;
  const TransferId transfer = graph_.transfer_of(t);
  if (transfer != kNoTransfer) {
    stream.transfer = &graph_.transfer(transfer);
    links_.begin(s, stream.transfer->crossings,
                 stream.transfer->demand * stream.of_class / kFullRate);
  } else {
    stream.transfer = nullptr;
    if (stream.domain == kNoDomain) stream.rate = kFullRate;
  }
  touch(s);
  std::int64_t end = 0;
  if (__builtin_add_overflow(now, stream.left.time_left(stream.rate), &end)) {
    throw std::overflow_error("simulated time passes 106 days");
  }
  return end;
}

void Interference::finish(StreamId s) {
  streams_[s].running = false;
  if (streams_[s].transfer != nullptr) links_.end(s);
  touch(s);
}

RateParts Interference::rate_of(const Domain& domain, StreamId s) const {
  RateParts least = kFullRate;
  const std::size_t row = streams_[s].cls * classes_;
  for (const StreamId other : domain.streams)
    if (other != s && (streams_[other].running || streams_[other].held))
      least = std::min(least, rates_[row + streams_[other].cls]);
  return least;
}

void Interference::hold(StreamId s, TaskClass cls) {
  if (streams_[s].domain == kNoDomain) return;
  streams_[s].held = true;
  streams_[s].cls = cls;
  touch(s);
}

void Interference::release(StreamId s) {
  if (!streams_[s].held) return;
  streams_[s].held = false;
  touch(s);
}

std::uint64_t Interference::settle(std::int64_t now, CompletionTree& completions) {
  std::uint64_t moved = 0;
  for (const std::uint32_t number : touched_) {
    Domain& domain = domains_[number];
    domain.touched = false;
    for (const StreamId s : domain.streams)
      if (streams_[s].running) moved += settle_class(s, rate_of(domain, s), now, completions);
  }
  touched_.clear();
  if (graph_.link_count() > 0) moved += settle_transfers(now, completions);
  return moved;
}

std::uint64_t Interference::settle_class(StreamId s, RateParts rate, std::int64_t now,
                                         CompletionTree& completions) {
  Stream& stream = streams_[s];
  if (stream.transfer == nullptr) {
    stream.of_class = rate;
    return change_rate(s, rate, now, completions);
  }
  if (rate == stream.of_class) return 0;
  stream.of_class = rate;
  links_.set_cap(s, stream.transfer->demand * rate / kFullRate);
  return 0;
}

std::uint64_t Interference::settle_transfers(std::int64_t now, CompletionTree& completions) {
  std::uint64_t moved = 0;
  for (const FlowId s : links_.solve()) {
    const double share = links_.rate(s) / streams_[s].transfer->demand;
    moved += change_rate(s, std::min(streams_[s].of_class, to_rate_parts(share)), now, completions);
  }
  return moved;
}

std::uint64_t Interference::change_rate(StreamId s, RateParts rate, std::int64_t now,
                                        CompletionTree& completions) {
  Stream& stream = streams_[s];
  if (rate == stream.rate) return 0;
  stream.left.advance(now - stream.settled_ps, stream.rate);
  stream.settled_ps = now;
  stream.rate = rate;
  std::int64_t end = 0;
  if (__builtin_add_overflow(now, stream.left.time_left(rate), &end)) {
    throw std::overflow_error("simulated time passes 106 days");
  }
  completions.set(s, end, completions.at(s).task());
  return 1;
}

}  // namespace rehearse
