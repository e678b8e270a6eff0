#include "sim/engine/interference.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>

namespace rehearse {

Interference::Interference(const TaskGraph& graph)
    : classes_(graph.class_count()), streams_(graph.stream_count()) {
  for (std::size_t a = 0; a < classes_; ++a)
    for (std::size_t b = 0; b < classes_; ++b)
      rates_.push_back(
          to_rate_parts(graph.rate(static_cast<TaskClass>(a), static_cast<TaskClass>(b))));
  std::map<std::uint32_t, std::vector<StreamId>> together;
  for (StreamId s = 0; s < graph.stream_count(); ++s)
    if (graph.stream_class(s) != StreamClass::kIndependent) together[graph.domain(s)].push_back(s);
  for (auto& [number, streams] : together) {
    if (streams.size() < 2) continue;
    for (const StreamId s : streams)
      streams_[s].domain = static_cast<std::uint32_t>(domains_.size());
    domains_.push_back({std::move(streams)});
  }
  touched_.reserve(domains_.size());
}

void Interference::touch(std::uint32_t domain) {
  if (domains_[domain].touched) return;
  domains_[domain].touched = true;
  touched_.push_back(domain);
}

std::int64_t Interference::begin(StreamId s, TaskClass cls, std::int64_t now,
                                 std::int64_t work_ps) {
  Stream& stream = streams_[s];
  stream.settled_ps = now;
  stream.left = Work{work_ps, 0};
  stream.cls = cls;
  stream.running = true;
  touch(stream.domain);
  std::int64_t end = 0;
  if (__builtin_add_overflow(now, stream.left.time_left(stream.rate), &end)) {
    throw std::overflow_error("simulated time passes 106 days");
  }
  return end;
}

void Interference::finish(StreamId s) {
  streams_[s].running = false;
  touch(streams_[s].domain);
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
  if (!tracks(s)) return;
  streams_[s].held = true;
  streams_[s].cls = cls;
  touch(streams_[s].domain);
}

void Interference::release(StreamId s) {
  if (!streams_[s].held) return;
  streams_[s].held = false;
  touch(streams_[s].domain);
}

std::uint64_t Interference::settle(std::int64_t now, CompletionTree& completions) {
  std::uint64_t moved = 0;
  for (const std::uint32_t number : touched_) {
    Domain& domain = domains_[number];
    domain.touched = false;
    for (const StreamId s : domain.streams) {
      if (!streams_[s].running) continue;
      const RateParts rate = rate_of(domain, s);
      if (rate == streams_[s].rate) continue;
      change_rate(s, rate, now, completions);
      ++moved;
    }
  }
  touched_.clear();
  return moved;
}

void Interference::change_rate(StreamId s, RateParts rate, std::int64_t now,
                               CompletionTree& completions) {
  Stream& stream = streams_[s];
  stream.left.advance(now - stream.settled_ps, stream.rate);
  stream.settled_ps = now;
  stream.rate = rate;
  std::int64_t end = 0;
  if (__builtin_add_overflow(now, stream.left.time_left(rate), &end)) {
    throw std::overflow_error("simulated time passes 106 days");
  }
  completions.set(s, end, completions.at(s).task());
}

}  // namespace rehearse
