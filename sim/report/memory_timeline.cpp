#include "sim/report/memory_timeline.hpp"

#include <algorithm>
#include <numeric>

namespace rehearse {

std::int64_t MemoryPoint::total() const {
  return std::accumulate(bytes.begin(), bytes.end(), std::int64_t{0});
}

std::vector<MemoryPoint> memory_timeline(const Timeline& timeline, const Annotations& notes,
                                         std::uint32_t device) {
  std::vector<MemoryPoint> points;
  if (device >= notes.memory.size()) return points;
  const std::vector<MemoryEvent>& changes = notes.memory[device];
  points.reserve(changes.size());
  MemoryPoint now;
  for (const MemoryEvent& change : changes) {
    const SimTime drawn =
        change.delta < 0 ? timeline.end[change.task] : timeline.start[change.task];
    now.at = std::max(now.at, drawn);
    now.bytes[static_cast<std::size_t>(change.category)] += change.delta;
    points.push_back(now);
  }
  return points;
}

}  // namespace rehearse
