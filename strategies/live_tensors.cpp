#include "strategies/live_tensors.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

namespace rehearse {
namespace {

struct Alive {
  std::string name;
  MemoryCategory category{};
  std::int64_t bytes = 0;
};

// Follows the changes of a rank's steps, in order.
class Walk {
 public:
  Walk(const Program& program, const RankProgram& rank) : program_(program), rank_(rank) {}

  // The number of the change after which most is allocated.
  std::int64_t peak() {
    std::int64_t best = 0, at = 0;
    walk(std::numeric_limits<std::int64_t>::max(), [&](std::int64_t change) {
      if (sum_ <= best) return;
      best = sum_;
      at = change;
    });
    return at;
  }
  std::vector<Alive> alive_after(std::int64_t change) {
    walk(change, [](std::int64_t) {});
    std::vector<Alive> out;
    for (auto& [place, tensor] : alive_) out.push_back(std::move(tensor));
    return out;
  }

 private:
  using Place = std::tuple<bool, std::int64_t, std::int32_t>;  // lasting, frame or position, slot

  template <class After>
  void walk(std::int64_t changes, const After& after) {
    alive_.clear();
    sum_ = 0;
    std::int64_t done = 0;
    const auto one = [&](const MemoryChange& c, std::int32_t frame, std::uint32_t label) {
      apply(c, frame, label);
      after(++done);
      return done < changes;
    };
    for (const Step& step : rank_.steps) {
      if (const auto* m = std::get_if<Memory>(&step.work)) {
        if (!one(m->change, m->frame, 0)) return;
      } else if (const auto* run = std::get_if<RunSegment>(&step.work)) {
        for (const Instr& i : program_.segments[run->segment].instrs)
          if (const auto* c = std::get_if<MemoryChange>(&i.what))
            if (!one(*c, run->frame, i.label)) return;
      }
    }
  }

  void apply(const MemoryChange& c, std::int32_t frame, std::uint32_t label) {
    const Place place{c.outlives_frames(), program_.place_of(c, frame), c.slot};
    sum_ += c.allocate ? c.bytes.value : -c.bytes.value;
    if (c.allocate)
      alive_[place] = {label > 0 ? program_.names[label] : between(c), c.category, c.bytes.value};
    else
      alive_.erase(place);
  }

  // What the schedule and data parallelism hold, which no operator made.
  static std::string between(const MemoryChange& c) {
    if (c.category == MemoryCategory::kParameters) return "gathered parameters";
    if (c.category == MemoryCategory::kGradients) return "gradients";
    return c.category == MemoryCategory::kActivations ? "messages" : "buckets and messages";
  }

  const Program& program_;
  const RankProgram& rank_;
  std::map<Place, Alive> alive_;
  std::int64_t sum_ = 0;
};

}  // namespace

std::vector<LiveTensors> live_at_peak(const Program& program, const RankProgram& rank) {
  Walk memory(program, rank);
  std::map<std::pair<std::string, MemoryCategory>, LiveTensors> by_name;
  for (const Alive& t : memory.alive_after(memory.peak())) {
    LiveTensors& all = by_name[{t.name, t.category}];
    all.name = t.name;
    all.category = t.category;
    ++all.count;
    all.bytes += Bytes(t.bytes);
  }
  std::vector<LiveTensors> out;
  for (auto& [key, tensors] : by_name) out.push_back(std::move(tensors));
  std::stable_sort(out.begin(), out.end(),
                   [](const LiveTensors& a, const LiveTensors& b) { return a.bytes > b.bytes; });
  return out;
}

}  // namespace rehearse
