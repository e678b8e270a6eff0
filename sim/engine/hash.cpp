#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "sim/engine/replay.hpp"

namespace rehearse {
namespace {

// FNV-1a, 64 bits (Fowler, Noll, Vo). Integers go in as little-endian bytes by arithmetic, so the
// hash does not depend on the machine's byte order. A byte is xored in and the whole multiplied by
// a prime; the zeros above an integer's last byte, which most have, are one product by its power.
class Fnv1a {
 public:
  template <class Unsigned>
  void add(Unsigned value) {
    std::size_t zeros = sizeof(Unsigned);
    std::uint64_t bytes = value;
    for (; bytes != 0; bytes >>= 8, --zeros) state_ = (state_ ^ (bytes & 0xff)) * kPowers[1];
    state_ *= kPowers[zeros];
  }
  void add(SimTime time) { add(static_cast<std::uint64_t>(time.ps)); }
  std::uint64_t value() const { return state_; }

 private:
  // Of the prime, 0 to 8.
  static constexpr std::array<std::uint64_t, 9> kPowers = [] {
    std::array<std::uint64_t, 9> out{1};
    for (std::size_t i = 1; i < out.size(); ++i) out[i] = out[i - 1] * 0x100000001b3ULL;
    return out;
  }();
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
