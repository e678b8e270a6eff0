#include "strategies/memory.hpp"

#include <algorithm>
#include <unordered_map>

#include "strategies/caching_allocator.hpp"

namespace rehearse {
namespace {

using Sums = std::array<std::int64_t, kMemoryCategories>;

std::int64_t total(const Sums& s) {
  std::int64_t t = 0;
  for (std::int64_t v : s) t += v;
  return t;
}

// What one segment does to the sums: its net effect, and the sums where it is highest, both
// relative to its start.
struct Effect {
  Sums net{}, at_peak{};
  std::int64_t peak = 0;
};

void apply(Sums& s, const MemoryChange& c) {
  s[static_cast<std::size_t>(c.category)] += c.allocate ? c.bytes.value : -c.bytes.value;
}

Effect effect_of(const Segment& segment) {
  Effect e;
  for (const Instr& i : segment.instrs) {
    const auto* c = std::get_if<MemoryChange>(&i.what);
    if (!c) continue;
    apply(e.net, *c);
    if (total(e.net) > e.peak) {
      e.peak = total(e.net);
      e.at_peak = e.net;
    }
  }
  return e;
}

// Every allocation and free in the order of the program, through the caching allocator.
class Reserved {
 public:
  explicit Reserved(const Program& program) : positions_(program.positions) {}

  void resident(Bytes bytes) {
    if (bytes.value > 0) allocator_.allocate(bytes);
  }
  void change(const MemoryChange& c, std::int32_t frame) {
    if (c.bytes.value == 0) return;
    const std::uint64_t key = key_of(c, frame);
    if (c.allocate) {
      held_[key] = allocator_.allocate(c.bytes);
    } else if (const auto it = held_.find(key); it != held_.end()) {
      allocator_.release(it->second);
      held_.erase(it);
    }
  }
  Bytes reserved() const { return allocator_.reserved(); }

 private:
  std::uint64_t key_of(const MemoryChange& c, std::int32_t frame) const {
    std::int64_t at = frame;
    if (c.scope == MemoryScope::kPrevious) --at;
    if (c.scope == MemoryScope::kNext) ++at;
    if (c.scope == MemoryScope::kRank) at = frame % positions_;
    if (c.scope == MemoryScope::kModel) at = positions_;
    const std::uint64_t rank =
        c.scope == MemoryScope::kRank || c.scope == MemoryScope::kModel ? 1 : 0;
    return (rank << 63) | (static_cast<std::uint64_t>(at + 1) << 31) |
           static_cast<std::uint32_t>(c.slot + 2);
  }

  std::int32_t positions_;
  CachingAllocator allocator_;
  std::unordered_map<std::uint64_t, CachingAllocator::Handle> held_;
};

Bytes reserved_peak(const Program& program, const RankProgram& rank) {
  Reserved r(program);
  r.resident(rank.parameters);
  r.resident(rank.optimizer_states);
  r.resident(rank.persistent_gradients);
  r.resident(rank.buffers);
  for (const Step& step : rank.steps) {
    if (const auto* run = std::get_if<RunSegment>(&step.work)) {
      for (const Instr& i : program.segments[run->segment].instrs)
        if (const auto* c = std::get_if<MemoryChange>(&i.what)) r.change(*c, run->frame);
    } else if (const auto* m = std::get_if<Memory>(&step.work)) {
      r.change(m->change, m->frame);
    }
  }
  return r.reserved();
}

}  // namespace

RankMemory rank_memory(const Program& program, const RankProgram& rank) {
  std::vector<Effect> effects(program.segments.size());
  std::vector<bool> known(program.segments.size(), false);
  Sums now{};
  now[static_cast<std::size_t>(MemoryCategory::kParameters)] = rank.parameters.value;
  now[static_cast<std::size_t>(MemoryCategory::kGradients)] = rank.persistent_gradients.value;
  now[static_cast<std::size_t>(MemoryCategory::kOptimizerStates)] = rank.optimizer_states.value;
  now[static_cast<std::size_t>(MemoryCategory::kTemporary)] = rank.buffers.value;
  Sums best = now;
  for (const Step& step : rank.steps) {
    if (const auto* run = std::get_if<RunSegment>(&step.work)) {
      if (!known[run->segment]) {
        effects[run->segment] = effect_of(program.segments[run->segment]);
        known[run->segment] = true;
      }
      const Effect& e = effects[run->segment];
      if (total(now) + e.peak > total(best))
        for (std::size_t i = 0; i < best.size(); ++i) best[i] = now[i] + e.at_peak[i];
      for (std::size_t i = 0; i < now.size(); ++i) now[i] += e.net[i];
    } else if (const auto* m = std::get_if<Memory>(&step.work)) {
      apply(now, m->change);
      if (total(now) > total(best)) best = now;
    }
  }
  RankMemory out;
  out.peak = Bytes(total(best));
  for (std::size_t i = 0; i < best.size(); ++i) out.at_peak[i] = Bytes(best[i]);
  out.reserved = max(out.peak, reserved_peak(program, rank));
  return out;
}

}  // namespace rehearse
