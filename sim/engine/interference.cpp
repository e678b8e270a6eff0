#include "sim/engine/interference.hpp"

#include <algorithm>
#include <stdexcept>

namespace rehearse {

Interference::Interference(const TaskGraph& graph) : streams_(graph.stream_count()) {
  // Domains with streams of both classes, in order of number.
  std::vector<std::uint32_t> domains[2];
  for (StreamId s = 0; s < graph.stream_count(); ++s) {
    if (graph.stream_class(s) == StreamClass::kIndependent) continue;
    domains[graph.background(s) ? 1 : 0].push_back(graph.domain(s));
  }
  for (auto& list : domains) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
  }
  std::vector<std::uint32_t> both;
  std::set_intersection(domains[0].begin(), domains[0].end(), domains[1].begin(), domains[1].end(),
                        std::back_inserter(both));

  lanes_.resize(2 * both.size());
  touched_.reserve(both.size());
  for (std::size_t i = 0; i < lanes_.size(); i += 2) {
    lanes_[i].slowed = to_rate_parts(graph.foreground_rate());
    lanes_[i + 1].slowed = to_rate_parts(graph.background_rate());
  }
  for (StreamId s = 0; s < graph.stream_count(); ++s) {
    if (graph.stream_class(s) == StreamClass::kIndependent) continue;
    const auto found = std::lower_bound(both.begin(), both.end(), graph.domain(s));
    if (found == both.end() || *found != graph.domain(s)) continue;
    const auto lane = 2 * static_cast<std::uint32_t>(found - both.begin()) +
                      static_cast<std::uint32_t>(graph.background(s));
    streams_[s].lane = lane;
    lanes_[lane].streams.push_back(s);
  }
}

void Interference::touch(std::uint32_t lane) {
  const std::uint32_t even = lane & ~1U;
  if (lanes_[even].touched) return;
  lanes_[even].touched = true;
  touched_.push_back(even);
}

std::int64_t Interference::begin(StreamId s, std::int64_t now, std::int64_t work_ps) {
  Stream& stream = streams_[s];
  Lane& lane = lanes_[stream.lane];
  stream.settled_ps = now;
  stream.left = Work{work_ps, 0};
  stream.running = true;
  if (lane.running++ == 0) touch(stream.lane);
  std::int64_t end = 0;
  if (__builtin_add_overflow(now, stream.left.time_left(lane.rate), &end)) {
    throw std::overflow_error("simulated time passes 106 days");
  }
  return end;
}

void Interference::finish(StreamId s) {
  Stream& stream = streams_[s];
  stream.running = false;
  if (--lanes_[stream.lane].running == 0) touch(stream.lane);
}

std::uint64_t Interference::settle(std::int64_t now, CompletionTree& completions) {
  std::uint64_t moved = 0;
  for (const std::uint32_t even : touched_) {
    Lane& foreground = lanes_[even];
    Lane& background = lanes_[even + 1];
    foreground.touched = false;
    const RateParts f = background.running != 0 ? foreground.slowed : kFullRate;
    const RateParts b = foreground.running != 0 ? background.slowed : kFullRate;
    if (f != foreground.rate) moved += change_rate(foreground, f, now, completions);
    if (b != background.rate) moved += change_rate(background, b, now, completions);
  }
  touched_.clear();
  return moved;
}

std::uint64_t Interference::change_rate(Lane& lane, RateParts rate, std::int64_t now,
                                        CompletionTree& completions) {
  std::uint64_t moved = 0;
  for (const StreamId s : lane.streams) {
    Stream& stream = streams_[s];
    if (!stream.running) continue;
    stream.left.advance(now - stream.settled_ps, lane.rate);
    stream.settled_ps = now;
    std::int64_t end = 0;
    if (__builtin_add_overflow(now, stream.left.time_left(rate), &end)) {
      throw std::overflow_error("simulated time passes 106 days");
    }
    completions.set(s, end, completions.at(s).task());
    ++moved;
  }
  lane.rate = rate;
  return moved;
}

}  // namespace rehearse
