#include "strategies/memory.hpp"

#include <unordered_map>
#include <vector>

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

// What a pass does, relative to the sums before it.
Effect effect_of(const StepList::Pass& pass, const std::vector<Effect>& segments) {
  Effect e;
  for (const Step& step : pass) {
    if (const auto* run = std::get_if<RunSegment>(&step.work)) {
      const Effect& s = segments[run->segment];
      if (total(e.net) + s.peak > e.peak) {
        e.peak = total(e.net) + s.peak;
        for (std::size_t i = 0; i < e.net.size(); ++i) e.at_peak[i] = e.net[i] + s.at_peak[i];
      }
      for (std::size_t i = 0; i < e.net.size(); ++i) e.net[i] += s.net[i];
    } else if (const auto* m = std::get_if<Memory>(&step.work)) {
      apply(e.net, m->change);
      if (total(e.net) > e.peak) {
        e.peak = total(e.net);
        e.at_peak = e.net;
      }
    }
  }
  return e;
}

// Every allocation and free in the order of the program, through the caching allocator.
class Reserved {
 public:
  Reserved(const Program& program, const RankProgram& rank)
      : program_(program), rank_(rank), passes_(rank.steps.passes()) {
    for (std::uint32_t p = 0; p < passes_.size(); ++p) {
      for (const Step& step : rank.steps.pass(p)) {
        if (const auto* run = std::get_if<RunSegment>(&step.work)) {
          for (const Instr& i : program.segments[run->segment].instrs)
            if (const auto* c = std::get_if<MemoryChange>(&i.what)) add(p, *c, run->frame);
        } else if (const auto* m = std::get_if<Memory>(&step.work)) {
          add(p, m->change, m->frame);
        }
      }
    }
  }

  Bytes run() {
    for (const Bytes b :
         {rank_.parameters, rank_.optimizer_states, rank_.persistent_gradients, rank_.buffers})
      if (b.value > 0) allocator_.allocate(b);
    for (const StepList::Call& call : rank_.steps.calls()) {
      const std::int64_t shift = rank_.steps.frame_shift(call) * kSlots;
      for (const Change& c : passes_[call.pass]) {
        const std::int64_t place = c.place + (c.moves ? shift : 0);
        if (c.allocate) {
          held_[place] = allocator_.allocate(Bytes(c.bytes));
        } else if (const auto it = held_.find(place); it != held_.end()) {
          allocator_.release(it->second);
          held_.erase(it);
        }
      }
    }
    return allocator_.reserved();
  }

 private:
  // Of a pass, for micro-batch 0.
  struct Change {
    std::int64_t place = 0;  // frame and slot, and whether it outlives frames
    std::int64_t bytes = 0;
    bool allocate = false;
    bool moves = false;  // with the micro-batch
  };
  static constexpr std::int64_t kSlots = std::int64_t{1} << 31;
  static constexpr std::int64_t kOutlives = std::int64_t{1} << 62;

  void add(std::uint32_t pass, const MemoryChange& c, std::int32_t frame) {
    if (c.bytes.value == 0) return;
    std::int64_t at = frame;
    if (c.scope == MemoryScope::kPrevious) --at;
    if (c.scope == MemoryScope::kNext) ++at;
    if (c.scope == MemoryScope::kRank) at = frame % program_.positions;
    if (c.scope == MemoryScope::kModel) at = program_.positions;
    const bool outlives = c.scope == MemoryScope::kRank || c.scope == MemoryScope::kModel;
    const std::int64_t place = (at + 1) * kSlots + c.slot + 2;
    passes_[pass].push_back(
        {outlives ? kOutlives + place : place, c.bytes.value, c.allocate, !outlives});
  }

  const Program& program_;
  const RankProgram& rank_;
  std::vector<std::vector<Change>> passes_;
  CachingAllocator allocator_;
  std::unordered_map<std::int64_t, CachingAllocator::Handle> held_;
};

}  // namespace

RankMemory rank_memory(const Program& program, const RankProgram& rank) {
  std::vector<Effect> segments;
  for (const Segment& segment : program.segments) segments.push_back(effect_of(segment));
  std::vector<Effect> passes;
  for (std::uint32_t p = 0; p < rank.steps.passes(); ++p)
    passes.push_back(effect_of(rank.steps.pass(p), segments));
  Sums now{};
  now[static_cast<std::size_t>(MemoryCategory::kParameters)] = rank.parameters.value;
  now[static_cast<std::size_t>(MemoryCategory::kGradients)] = rank.persistent_gradients.value;
  now[static_cast<std::size_t>(MemoryCategory::kOptimizerStates)] = rank.optimizer_states.value;
  now[static_cast<std::size_t>(MemoryCategory::kTemporary)] = rank.buffers.value;
  Sums best = now;
  for (const StepList::Call& call : rank.steps.calls()) {
    const Effect& e = passes[call.pass];
    if (total(now) + e.peak > total(best))
      for (std::size_t i = 0; i < best.size(); ++i) best[i] = now[i] + e.at_peak[i];
    for (std::size_t i = 0; i < now.size(); ++i) now[i] += e.net[i];
  }
  RankMemory out;
  out.peak = Bytes(total(best));
  for (std::size_t i = 0; i < best.size(); ++i) out.at_peak[i] = Bytes(best[i]);
  out.reserved = max(out.peak, Reserved(program, rank).run());
  return out;
}

}  // namespace rehearse
