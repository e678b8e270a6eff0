#include <stdexcept>

#include "sim/engine/replay.hpp"

namespace rehearse {
namespace {

// FNV-1a, 64 bits (Fowler, Noll, Vo). Integers go in as little-endian bytes by arithmetic, so the
// hash does not depend on the machine's byte order.
class Fnv1a {
 public:
  template <class Unsigned>
  void add(Unsigned value) {
    for (unsigned shift = 0; shift < 8 * sizeof(Unsigned); shift += 8) {
      const auto byte = static_cast<std::uint8_t>(value >> shift);
      state_ = (state_ ^ byte) * 0x100000001b3ULL;
    }
  }
  void add(SimTime time) { add(static_cast<std::uint64_t>(time.ps)); }
  std::uint64_t value() const { return state_; }

 private:
  std::uint64_t state_ = 0xcbf29ce484222325ULL;
};

}  // namespace

std::uint64_t structure_hash(const TaskGraph& graph) {
  Fnv1a hash;
  hash.add(static_cast<std::uint32_t>(graph.stream_count()));
  for (StreamId s = 0; s < graph.stream_count(); ++s) {
    hash.add(graph.domain(s));
    hash.add(static_cast<std::uint8_t>(graph.stream_class(s)));
  }
  hash.add(static_cast<std::uint32_t>(graph.size()));
  for (TaskId t = 0; t < graph.size(); ++t) {
    hash.add(graph.hot(t).stream);
    const auto successors = graph.successors(t);
    hash.add(static_cast<std::uint32_t>(successors.size()));
    for (const TaskId next : successors) hash.add(next);
    if (graph.holds(t)) hash.add(t);
  }
  return hash.value();
}

std::uint64_t timing_hash(const TaskGraph& graph, const Timeline& timeline) {
  if (timeline.start.size() != graph.size() || timeline.end.size() != graph.size()) {
    throw std::logic_error("timing_hash: the timeline is of another graph");
  }
  Fnv1a hash;
  hash.add(static_cast<std::uint32_t>(graph.size()));
  for (TaskId t = 0; t < graph.size(); ++t) {
    hash.add(timeline.start[t]);
    hash.add(timeline.end[t]);
  }
  return hash.value();
}

}  // namespace rehearse
