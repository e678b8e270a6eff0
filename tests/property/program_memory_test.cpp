// Memory of a rank's step: what is allocated is freed, once, with the size and the category that it
// was allocated with, so that every step begins as the one before.

#include <array>
#include <catch2/catch.hpp>
#include <map>
#include <tuple>

#include "strategies/build_program.hpp"
#include "strategies/memory.hpp"
#include "tests/property/plans.hpp"

namespace rehearse {
namespace {

// Walks one rank's step as the allocator would see it.
class MemoryWalk {
 public:
  MemoryWalk(const Program& program, const RankProgram& rank) : program_(program) {
    for (const Step& step : rank.steps) {
      if (const auto* run = std::get_if<RunSegment>(&step.work)) {
        const Segment& segment = program.segments[run->segment];
        for (const Instr& i : segment.instrs)
          if (const auto* c = std::get_if<MemoryChange>(&i.what))
            change(*c, run->frame, segment.name);
      } else if (const auto* m = std::get_if<Memory>(&step.work)) {
        change(m->change, m->frame, "a step");
      }
    }
    for (const auto& [place, held] : held_) complain("never freed, of", held.who);
  }

  const std::string& complaint() const { return complaint_; }
  std::int64_t highest() const { return highest_; }

 private:
  struct Held {
    Bytes bytes{0};
    MemoryCategory category{};
    std::string who;
  };
  using Place = std::tuple<MemoryScope, std::int32_t, std::int32_t>;

  Place place_of(const MemoryChange& c, std::int32_t frame) const {
    switch (c.scope) {
      case MemoryScope::kFrame:
        return {MemoryScope::kFrame, frame, c.slot};
      case MemoryScope::kPrevious:
        return {MemoryScope::kFrame, frame - 1, c.slot};
      case MemoryScope::kNext:
        return {MemoryScope::kFrame, frame + 1, c.slot};
      case MemoryScope::kRank:
        return {MemoryScope::kRank, frame % program_.positions, c.slot};
      case MemoryScope::kModel:
        return {MemoryScope::kModel, 0, c.slot};
    }
    return {};
  }

  void complain(const char* what, const std::string& who) {
    if (complaint_.empty()) complaint_ = std::string(what) + " " + who;
  }

  void change(const MemoryChange& c, std::int32_t frame, const std::string& who) {
    if (c.bytes.value == 0) return;
    const Place place = place_of(c, frame);
    const auto it = held_.find(place);
    if (c.allocate) {
      if (it != held_.end()) complain("allocated twice, by", who + " after " + it->second.who);
      held_[place] = {c.bytes, c.category, who};
      now_ += c.bytes.value;
      highest_ = std::max(highest_, now_);
      return;
    }
    if (it == held_.end()) return complain("freed without being there, by", who);
    if (it->second.bytes != c.bytes) complain("freed with another size, by", who);
    if (it->second.category != c.category) complain("freed as another category, by", who);
    now_ -= c.bytes.value;
    held_.erase(it);
  }

  const Program& program_;
  std::map<Place, Held> held_;
  std::string complaint_;
  std::int64_t now_ = 0, highest_ = 0;
};

Program program_of(const PlanText& plan) {
  const Scenario s = plan.scenario();
  const Model model = read_model(s.model);
  const Cluster cluster = read_cluster(s.cluster);
  const Runtime runtime = read_runtime(s.runtime);
  return build_program(resolve_plan(s, model, cluster, runtime), model, cluster, runtime, {true});
}

TEST_CASE("a step of a random plan leaves memory as it found it") {
  PlanSource plans(1);
  for (int i = 0; i < 400; ++i) {
    const PlanText plan = plans.next();
    INFO(plan.text());
    const Program program = program_of(plan);
    for (const RankProgram& rank : program.ranks)
      CHECK(MemoryWalk(program, rank).complaint() == "");
  }
}

TEST_CASE("the reported peak is the highest point of the walk") {
  PlanSource plans(2);
  for (int i = 0; i < 100; ++i) {
    const PlanText plan = plans.next();
    INFO(plan.text());
    const Program program = program_of(plan);
    for (const RankProgram& rank : program.ranks) {
      const RankMemory memory = rank_memory(program, rank);
      const Bytes resident =
          rank.parameters + rank.optimizer_states + rank.persistent_gradients + rank.buffers;
      CHECK((memory.peak - memory.uncut).value ==
            resident.value + MemoryWalk(program, rank).highest());
      Bytes parts(0);
      for (Bytes b : memory.at_peak) parts += b;
      CHECK(parts == memory.peak);
      CHECK(memory.reserved >= memory.peak);
    }
  }
}

}  // namespace
}  // namespace rehearse
