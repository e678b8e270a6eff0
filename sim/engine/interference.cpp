#include "sim/engine/interference.hpp"

#include <algorithm>
#include <map>

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
    domains_.push_back(std::move(streams));
  }
  if (graph.link_count() > 0)
    for (TaskId t = 0; t < graph.size(); ++t)
      if (graph.transfer_of(t) != kNoTransfer) streams_[graph.hot(t).stream].tracked = true;
  touched_.reserve(streams_.size());
}

// The rate in force after a transfer is what its links left it, so it is settled anew.
void Interference::change_transfer(StreamId s, TransferId transfer) {
  Stream& stream = streams_[s];
  stream.taken_when_settled = {};
  if (transfer != kNoTransfer) {
    stream.transfer = &graph_.transfer(transfer);
    links_.begin(s, stream.transfer->crossings,
                 stream.transfer->demand * stream.of_class / kFullRate);
  } else {
    stream.transfer = nullptr;
    if (stream.domain == kNoDomain) stream.rate = kFullRate;
  }
}

RateParts Interference::rate_of(const Domain& domain, StreamId s) const {
  const RateParts* const beside = rates_.data() + streams_[s].taken.cls * classes_;
  RateParts least = kFullRate;
  for (const StreamId other : domain) {
    const Taken by = streams_[other].taken;
    if (other != s && by.how != Taken::kIdle) least = std::min(least, beside[by.cls]);
  }
  return least;
}

std::uint64_t Interference::settle(std::int64_t now, CompletionTree& completions) {
  std::uint64_t moved = 0;
  for (const StreamId s : touched_) {
    streams_[s].touched = false;
    if (streams_[s].taken == streams_[s].taken_when_settled) continue;
    moved += settle_domain(domains_[streams_[s].domain], now, completions);
  }
  touched_.clear();
  if (graph_.link_count() > 0) moved += settle_transfers(now, completions);
  return moved;
}

std::uint64_t Interference::settle_domain(const Domain& domain, std::int64_t now,
                                          CompletionTree& completions) {
  std::uint64_t moved = 0;
  for (const StreamId s : domain) {
    streams_[s].taken_when_settled = streams_[s].taken;
    if (streams_[s].taken.how == Taken::kRunning)
      moved += settle_class(s, rate_of(domain, s), now, completions);
  }
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
  completions.set(s, end_of(stream, now), completions.at(s).task());
  return 1;
}

}  // namespace rehearse
