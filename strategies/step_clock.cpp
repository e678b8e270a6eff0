#include "strategies/step_clock.hpp"

#include <optional>
#include <stdexcept>

#include "strategies/clock_walk.hpp"
#include "strategies/lowering_sinks.hpp"
#include "strategies/network.hpp"
#include "strategies/phases.hpp"
#include "strategies/timed_walk.hpp"

namespace rehearse {
namespace {

using Lined = RankClocks<Lines::Time>;

template <class To, class From>
RankClocks<To> converted(const RankClocks<From>& c, const auto& convert) {
  RankClocks<To> out;
  for (std::size_t l = 0; l < c.lanes.size(); ++l) out.lanes[l] = convert(c.lanes[l]);
  for (const From& e : c.events) out.events.push_back(convert(e));
  for (const auto& m : c.inbox) out.inbox.push_back({m.from, m.tag, m.step, convert(m.sent)});
  out.gathered = c.gathered;
  out.gathering = c.gathering;
  out.step = c.step;
  out.call = c.call;
  out.met = c.met;
  return out;
}

template <class Time>
void sort_inbox(RankClocks<Time>& c) {
  std::sort(c.inbox.begin(), c.inbox.end(), [](const auto& a, const auto& b) {
    return std::pair{a.from, a.tag} < std::pair{b.from, b.tag};
  });
}

// Whether two ends of a period differ in nothing but their clocks.
template <class A, class B>
bool alike(const RankClocks<A>& a, const RankClocks<B>& b, std::int32_t shift) {
  const Run &g = a.gathered, &h = b.gathered;
  if (a.gathering != b.gathering || g.duration != h.duration || g.host != h.host ||
      g.latest != h.latest || a.inbox.size() != b.inbox.size())
    return false;
  for (std::size_t i = 0; i < a.inbox.size(); ++i)
    if (a.inbox[i].from != b.inbox[i].from || a.inbox[i].step != b.inbox[i].step ||
        a.inbox[i].tag + static_cast<std::uint32_t>(shift) != b.inbox[i].tag)
      return false;
  return true;
}

template <class A, class B, class Visit>
void for_each_clock(A& a, B& b, const Visit& visit) {
  for (std::size_t l = 0; l < a.lanes.size(); ++l) visit(a.lanes[l], b.lanes[l]);
  for (std::size_t e = 0; e < a.events.size(); ++e) visit(a.events[e], b.events[e]);
  for (std::size_t m = 0; m < a.inbox.size(); ++m) visit(a.inbox[m].sent, b.inbox[m].sent);
}

class StepClock {
 public:
  StepClock(const Program& program, const Cluster& cluster, Prices& prices)
      : program_(program),
        cluster_(cluster),
        prices_(prices),
        codes_(program, cluster, prices),
        walk_(program, cluster, prices, fixed_) {
    for (const RankProgram& rank : program.ranks) {
      const auto meets = [&](GroupKind g) {
        return rank.groups[static_cast<std::size_t>(g)].size() > 1;
      };
      const bool together =
          meets(GroupKind::kTensor) || meets(GroupKind::kContext) || meets(GroupKind::kExpert);
      ClockedRank fixed;
      fixed.rank = &rank;
      for (std::uint32_t p = 0; p < rank.steps.passes(); ++p)
        fixed.passes.push_back(&codes_.of(rank.steps.pass(p), rank.machine, together));
      fixed_.push_back(std::move(fixed));
      walk_.ranks.emplace_back();
      walk_.ranks.back().events.resize(static_cast<std::size_t>(rank.events));
    }
    if (!codes_.exchanges()) phases_ = phases_of(program);  // those have states of their own
  }

  StepTimes run(int steps) {
    std::vector<std::int64_t> ends(program_.ranks.size(), 0), before = ends;
    for (int step = 0; step < steps; ++step) {
      std::swap(before, ends);
      for (const Phase& phase : phases_) shorten(phase);
      advance_all(walk_, [&](std::size_t r) { return program_.ranks[r].steps.calls().size(); });
      for (std::size_t r = 0; r < ends.size(); ++r) ends[r] = walk_.finish_step(r);
    }
    StepTimes out = slowest_step(program_, ends, before);
    out.tasks = walk_.tasks;
    return out;
  }

 private:
  // Every rank to its limit. Ranks wait for others only in calls that those do before theirs, or
  // there is a bug.
  template <class Walk, class Limit>
  void advance_all(Walk& walk, const Limit& limit) {
    if (!advance_as_far(walk, limit))
      throw std::logic_error("the program's ranks wait for each other for ever");
  }
  // False where they wait for what is beyond others' limits.
  template <class Walk, class Limit>
  bool advance_as_far(Walk& walk, const Limit& limit) {
    for (bool moved = true; moved;) {
      moved = false;
      bool done = true;
      for (std::size_t r = 0; r < walk.ranks.size(); ++r) {
        moved |= walk.advance(r, limit(r));
        done &= walk.ranks[r].call == limit(r);
      }
      if (done) return true;
    }
    return false;
  }

  // Walks a phase, but for the periods in the middle that only move the clocks.
  void shorten(const Phase& phase) {
    std::vector<RankClocks<std::int64_t>> last;  // where the period before the next began
    for (std::size_t period = 0; period + 2 < phase.periods; ++period) {
      const auto limit = [&](std::size_t r) { return phase.call(r, period); };
      std::vector<RankClocks<std::int64_t>> now = walk_.ranks;
      std::optional<std::vector<Lined>> lines;
      if (!last.empty()) lines = lines_from(last, phase);
      if (!lines) {
        if (!advance_as_far(walk_, limit)) return;
        for (auto& rank : walk_.ranks) sort_inbox(rank);
      } else if (auto repeats = walk_lines(*lines, limit, phase)) {
        const auto left = static_cast<std::int64_t>(phase.periods - 1 - period);
        return skip(phase, now, std::min(left, repeats->horizon), *repeats);
      }
      if (period > 0) last = std::move(now);
    }
  }

  // A period that all later ones are like.
  struct Repeat {
    std::int64_t horizon = 0;
    std::uint64_t tasks = 0;
    std::vector<Lined> ranks;  // at its end
  };
  // Walks a period on lines; nothing where they are not as they were.
  template <class Limit>
  std::optional<Repeat> walk_lines(std::vector<Lined>& lines, const Limit& limit,
                                   const Phase& phase) {
    ClockWalk<Lines> walk(program_, cluster_, prices_, fixed_);
    walk.ranks = lines;
    if (!advance_as_far(walk, limit)) throw std::logic_error("a period of a schedule stands still");
    for (std::size_t r = 0; r < lines.size(); ++r) {
      sort_inbox(walk.ranks[r]);
      walk_.ranks[r] = converted<std::int64_t, Lines::Time>(
          walk.ranks[r], [](const Lines::Time& t) { return t.at; });
    }
    walk_.tasks += walk.tasks;
    if (!same_lines(lines, walk.ranks, phase)) return {};
    return Repeat{walk.arithmetic.horizon, walk.tasks, std::move(walk.ranks)};
  }

  // The clocks as lines, where they have moved on from `last` and nothing else has changed.
  std::optional<std::vector<Lined>> lines_from(std::vector<RankClocks<std::int64_t>>& last,
                                               const Phase& phase) {
    std::vector<Lined> out;
    for (std::size_t r = 0; r < last.size(); ++r) {
      if (!alike(last[r], walk_.ranks[r], phase.of_rank[r].shift)) return {};
      out.push_back(converted<Lines::Time, std::int64_t>(walk_.ranks[r], [](std::int64_t t) {
        return Lines::Time{t, 0};
      }));
      for_each_clock(out[r], last[r],
                     [](Lines::Time& line, std::int64_t before) { line.per = line.at - before; });
    }
    return out;
  }

  static bool same_lines(std::vector<Lined>& before, std::vector<Lined>& after,
                         const Phase& phase) {
    bool same = true;
    for (std::size_t r = 0; r < before.size() && same; ++r) {
      same = alike(before[r], after[r], phase.of_rank[r].shift);
      if (!same) break;
      for_each_clock(before[r], after[r], [&](const Lines::Time& a, const Lines::Time& b) {
        same &= b.per == a.per && b.at == a.at + a.per;
      });
    }
    return same;
  }

  // `n` periods at once, each of which does what the last one, from `before` on, has done.
  void skip(const Phase& phase, const std::vector<RankClocks<std::int64_t>>& before, std::int64_t n,
            Repeat& repeat) {
    walk_.tasks += repeat.tasks * static_cast<std::uint64_t>(n);
    for (std::size_t r = 0; r < before.size(); ++r) {
      RankClocks<std::int64_t>& now = walk_.ranks[r];
      for_each_clock(now, repeat.ranks[r], [n](std::int64_t& t, const Lines::Time& line) {
        std::int64_t moved = 0;
        if (__builtin_mul_overflow(line.per, n, &moved) || __builtin_add_overflow(t, moved, &t))
          throw std::overflow_error("simulated time passes 106 days");
      });
      const StepList::Stretch& s = phase.of_rank[r];
      now.call += static_cast<std::size_t>(n) * s.period;
      for (auto& m : now.inbox) m.tag += static_cast<std::uint32_t>(n * s.shift);
      for (std::size_t g = 0; g < now.met.size(); ++g)
        now.met[g] += static_cast<std::uint32_t>(n) * (now.met[g] - before[r].met[g]);
    }
  }

  const Program& program_;
  const Cluster& cluster_;
  const Prices& prices_;
  ClockCodes codes_;
  std::vector<ClockedRank> fixed_;
  ClockWalk<Instants> walk_;
  std::vector<Phase> phases_;
};

}  // namespace

bool clock_knows(const Program& program) {
  for (const RankProgram& rank : program.ranks)
    for (std::uint32_t p = 0; p < rank.steps.passes(); ++p)
      for (const Step& step : rank.steps.pass(p)) {
        const auto* c = std::get_if<RunCollective>(&step.work);
        if (c && (c->work.group == GroupKind::kToHost || c->work.group == GroupKind::kFromHost))
          return false;
      }
  return true;
}

StepTimes unhindered_step_times(const Program& program, const Cluster& cluster,
                                const LowerOptions& options, Prices& prices) {
  return StepClock(program, cluster, prices).run(options.steps);
}

std::optional<StepTimes> times_without_graph(const Program& program, const Cluster& cluster,
                                             const LowerOptions& options, Prices& prices) {
  const bool knows = clock_knows(program), suffices = clock_suffices(cluster);
  const bool may_meet = Network(program, cluster).may_meet();
  if (knows && suffices && !may_meet)
    return unhindered_step_times(program, cluster, options, prices);
  if (knows)
    if (const auto times = timed_step_times(program, cluster, options, prices)) return times;
  if (!suffices) return {};
  const StepTimes alone = walked_step_times(program, cluster, options, prices);
  if (alone.transfers_meet) return {};
  return alone;
}

}  // namespace rehearse
