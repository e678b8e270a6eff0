#include "strategies/step_replay.hpp"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "sim/engine/replay.hpp"
#include "strategies/lowering_sinks.hpp"
#include "strategies/phases.hpp"

namespace rehearse {
namespace {

constexpr int kSteps = 2;

struct Replayed {
  Lowered lowered;
  Timeline timeline;
};

Replayed replay_of(const Program& program, const Cluster& cluster) {
  LowerOptions options;
  options.steps = kSteps;
  options.mark_calls = true;
  Replayed out;
  out.lowered = lower(program, cluster, options);
  out.timeline = simulate(out.lowered.graph);
  return out;
}

// By when each rank ends a step.
std::vector<std::int64_t> ends_of(const Replayed& r, int step, bool hosts = true) {
  const Annotations& notes = r.lowered.notes;
  std::vector<std::int64_t> out(notes.devices.size(), 0);
  for (TaskId t = 0; t < r.lowered.graph.size(); ++t) {
    const TaskInfo& info = notes.tasks[t];
    const StreamId stream = r.lowered.graph.hot(t).stream;
    if (info.step != step || (stream == kNoStream && info.activity == Activity::kJoin) ||
        (!hosts && info.activity == Activity::kHost))
      continue;
    const std::uint32_t device = stream == kNoStream ? info.device : notes.streams[stream].device;
    out[device] = std::max(out[device], r.timeline.end[t].ps);
  }
  return out;
}

// A replay of a program that has `phase.periods` periods.
class Periods {
 public:
  Periods(const Program& program, const Phase& phase, const Replayed& replayed)
      : program_(program),
        phase_(phase),
        graph_(replayed.lowered.graph),
        notes_(replayed.lowered.notes),
        calls_(replayed.lowered.calls),
        time_(replayed.timeline) {
    for (StreamId s = 0; s < notes_.streams.size(); ++s)
      (notes_.streams[s].name == "host" ? hosts_ : streams_).push_back(s);
  }

  // What one period more takes in each step; nothing where that is not known.
  std::optional<std::vector<std::int64_t>> length() {
    std::vector<std::int64_t> out;
    for (int step = 0; step < kSteps; ++step) {
      const std::optional<std::int64_t> one = length_in(step);
      if (!one) return {};
      out.push_back(*one);
    }
    if (std::any_of(ahead_.begin(), ahead_.end(), [&](const Ahead& a) { return waited_for(a); }))
      return {};
    return out;
  }

 private:
  static constexpr std::size_t kAlike = 2;  // distances between three periods
  struct Ahead {
    StreamId host = 0;
    TaskId from = 0, after = 0;  // the phase
  };

  std::size_t device(StreamId s) const { return notes_.streams[s].device; }

  // The first task of a rank that may belong to a period of a step; `phase.periods`: that follows.
  TaskId first_of(std::size_t rank, int step, std::size_t period) const {
    const std::size_t calls = program_.ranks[rank].steps.calls().size();
    const std::size_t call = static_cast<std::size_t>(step) * calls + phase_.call(rank, period);
    return call < calls_[rank].size() ? calls_[rank][call] : static_cast<TaskId>(graph_.size());
  }
  std::span<const TaskId> tasks(StreamId s, TaskId from, TaskId to) const {
    const std::span<const TaskId> all = graph_.stream_tasks(s);
    const auto first = std::lower_bound(all.begin(), all.end(), from);
    return {first, std::lower_bound(first, all.end(), to)};
  }
  std::span<const TaskId> period(StreamId s, int step, std::size_t n) const {
    return tasks(s, first_of(device(s), step, n), first_of(device(s), step, n + 1));
  }

  // How far a stream's period is from the one before.
  std::optional<std::int64_t> distance(StreamId s, int step, std::size_t n) const {
    const std::span<const TaskId> now = period(s, step, n), before = period(s, step, n - 1);
    if (now.size() != before.size()) return {};
    std::optional<std::int64_t> out;
    for (std::size_t i = 0; i < now.size(); ++i) {
      const std::int64_t d = time_.start[now[i]].ps - time_.start[before[i]].ps;
      if (time_.end[now[i]].ps - time_.end[before[i]].ps != d || d != out.value_or(d)) return {};
      out = d;
    }
    return out;
  }

  // When the first rank leaves the phase.
  std::int64_t leaves(int step) const {
    std::int64_t first = std::numeric_limits<std::int64_t>::max();
    for (const StreamId s : streams_) {
      const auto after =
          tasks(s, first_of(device(s), step, phase_.periods), static_cast<TaskId>(graph_.size()));
      if (!after.empty()) first = std::min(first, time_.start[after.front()].ps);
    }
    return first;
  }
  // The last period that a stream has done by then; 0: none but the first.
  std::size_t last_by(std::int64_t time, StreamId s, int step) const {
    std::size_t last = phase_.periods - 1;
    for (; last > 0; --last) {
      const auto of = period(s, step, last);
      if (of.empty() || time_.end[of.back()].ps <= time) break;
    }
    return last;
  }

  std::optional<std::int64_t> length_in(int step) {
    const std::int64_t left = leaves(step);
    std::vector<std::size_t> lasts;
    for (const StreamId s : streams_) lasts.push_back(last_by(left, s, step));
    const std::size_t last = *std::min_element(lasts.begin(), lasts.end());
    if (last < kAlike + 1) return {};
    std::optional<std::int64_t> out;
    for (std::size_t i = 0; i < streams_.size(); ++i)
      for (std::size_t n = lasts[i]; n > last - kAlike; --n) {
        if (period(streams_[i], step, n).empty() && period(streams_[i], step, n - 1).empty())
          continue;
        const std::optional<std::int64_t> d = distance(streams_[i], step, n);
        if (!d || *d != out.value_or(*d)) return {};
        out = d;
      }
    if (!out) return {};
    // Hosts go at the pace of their GPUs, or run ahead of them.
    for (const StreamId s : hosts_) {
      bool along = true;
      for (std::size_t n = last; n > last - kAlike; --n) {
        const auto now = period(s, step, n), before = period(s, step, n - 1);
        if (now.size() != before.size()) return {};
        if (now.empty()) continue;
        along &= distance(s, step, n) == out;
        if (time_.end[now.back()].ps - time_.end[before.back()].ps > *out) return {};
      }
      if (!along)
        ahead_.push_back({s, first_of(device(s), step, last - kAlike),
                          first_of(device(s), step, phase_.periods)});
    }
    return out;
  }

  // From a period on in which a host ran ahead of its GPU, until it waits for it after the phase:
  // whether anything began just when the host had issued it.
  bool waited_for(const Ahead& a) const {
    const std::span<const TaskId> on = tasks(a.host, a.from, static_cast<TaskId>(graph_.size()));
    for (std::size_t i = 0; i < on.size(); ++i) {
      if (i > 0 && time_.start[on[i]] > time_.end[on[i - 1]])
        return on[i] < a.after;  // in a period, and not at its pace
      if (holds_up(on[i], a.host)) return true;
    }
    return false;
  }
  bool holds_up(TaskId t, StreamId host) const {
    const auto begins = [&](TaskId next, TaskId before) {
      return graph_.hot(next).stream != host && time_.start[next] == time_.end[before];
    };
    for (const TaskId next : graph_.successors(t)) {
      if (graph_.hot(next).stream == host) continue;
      if (graph_.hot(next).stream != kNoStream) {
        if (begins(next, t)) return true;
        continue;
      }
      for (const TaskId last : graph_.successors(next))  // the launch
        if (begins(last, next)) return true;
    }
    return false;
  }

  const Program& program_;
  const Phase& phase_;
  const TaskGraph& graph_;
  const Annotations& notes_;
  const std::vector<std::vector<TaskId>>& calls_;
  const Timeline& time_;
  std::vector<StreamId> hosts_, streams_;
  std::vector<Ahead> ahead_;
};

// The program with `periods` periods of the phase, and that phase.
std::optional<Program> shortened(const Program& program, Phase& phase, std::size_t periods) {
  Program out = program;
  for (std::size_t r = 0; r < program.ranks.size(); ++r) {
    std::optional<StepList> steps = program.ranks[r].steps.without_periods(
        phase.of_rank[r], phase.call(r, phase.periods), phase.periods - periods);
    if (!steps) return {};
    out.ranks[r].steps = std::move(*steps);
  }
  phase.periods = periods;
  return out;
}

// As many periods as ranks begin their phase apart from each other, and some to settle.
std::size_t fewest(const Phase& phase) {
  std::size_t first = std::numeric_limits<std::size_t>::max(), last = 0, shortest = first;
  for (const StepList::Stretch& s : phase.of_rank) {
    first = std::min(first, s.begin);
    last = std::max(last, s.begin);
    shortest = std::min(shortest, s.period);
  }
  constexpr std::size_t kSettling = 6;
  return (last - first) / shortest + kSettling;
}

bool hosts_end_last(const Replayed& r) {
  for (int step = 0; step < kSteps; ++step)
    if (ends_of(r, step) != ends_of(r, step, false)) return true;
  return false;
}

StepTimes times_of(const Program& program, const Replayed& replayed) {
  StepTimes out =
      slowest_step(program, ends_of(replayed, kSteps - 1), ends_of(replayed, kSteps - 2));
  out.tasks = replayed.lowered.graph.size();
  return out;
}

}  // namespace

StepTimes replayed_step_times(const Program& program, const Cluster& cluster) {
  const std::vector<Phase> phases = phases_of(program);
  if (phases.size() == 1) {
    // Tries that fail cost as much as they might have saved.
    const std::size_t all = phases.front().periods, first = fewest(phases.front());
    for (std::size_t periods = first; 2 * periods < all && periods <= 4 * first; periods *= 2) {
      Phase phase = phases.front();
      const std::optional<Program> fewer = shortened(program, phase, periods);
      if (!fewer) break;
      const Replayed replayed = replay_of(*fewer, cluster);
      const auto lengths = Periods(*fewer, phase, replayed).length();
      if (!lengths || hosts_end_last(replayed)) continue;
      StepTimes out = times_of(*fewer, replayed);
      const auto more = static_cast<std::int64_t>(all - periods);
      out.begin.ps += more * (*lengths)[0];
      out.end.ps += more * ((*lengths)[0] + (*lengths)[1]);
      return out;
    }
  }
  return times_of(program, replay_of(program, cluster));
}

}  // namespace rehearse
