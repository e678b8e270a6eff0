// Random graphs (several streams of every class, delays, joins, repeated edges, many ties) through
// all engines, and against bounds computed here.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

#include "sim/engine/replay.hpp"
#include "tests/bench/baseline_replay.hpp"
#include "tests/bench/graphs.hpp"

using namespace rehearse;

namespace {

constexpr std::uint64_t kSeeds = 300;

std::uint32_t tasks_of(std::uint64_t seed) {
  return static_cast<std::uint32_t>(1 + seed * 3 % 400);
}

TaskGraph plain(std::uint64_t seed) {
  return bench::random_graph({.tasks = tasks_of(seed), .seed = seed});
}

// Rates that are and are not short decimals; one of them may be 1.
TaskGraph interfering(std::uint64_t seed) {
  constexpr double kRates[] = {0.9, 1.0 / 3.0, 0.777777777, 1.0, 0.05};
  return bench::random_graph({.tasks = tasks_of(seed),
                              .foreground_rate = kRates[seed % 5],
                              .background_rate = kRates[(seed / 5 + 1) % 5],
                              .seed = seed});
}

// Longest path, from the sinks backwards; with the streams' order or with the edges alone.
std::int64_t critical_path(const TaskGraph& graph, bool with_streams) {
  std::vector<std::int64_t> tail(graph.size(), 0);  // from the start of a task to the end of all
  std::vector<std::int64_t> stream_tail(graph.stream_count(), 0);
  std::int64_t longest = 0;
  for (TaskId t = static_cast<TaskId>(graph.size()); t-- > 0;) {
    const auto& hot = graph.hot(t);
    for (const TaskId next : graph.successors(t)) tail[t] = std::max(tail[t], tail[next]);
    if (with_streams && hot.stream != kNoStream) {
      tail[t] = std::max(tail[t], stream_tail[hot.stream]);
    }
    tail[t] += hot.duration_ps;
    if (hot.stream != kNoStream) stream_tail[hot.stream] = tail[t];
    longest = std::max(longest, tail[t]);
  }
  return longest;
}

void require_same(const Timeline& a, const Timeline& b) {
  REQUIRE(a.start.size() == b.start.size());
  for (TaskId t = 0; t < a.start.size(); ++t) {
    if (a.start[t] == b.start[t] && a.end[t] == b.end[t]) continue;
    CAPTURE(t);
    REQUIRE(a.start[t].ps == b.start[t].ps);
    REQUIRE(a.end[t].ps == b.end[t].ps);
  }
  REQUIRE(a.makespan.ps == b.makespan.ps);
}

}  // namespace

TEST_CASE("sweep and replay agree to the picosecond where nothing interferes") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = plain(seed);
    require_same(sweep(graph), replay(graph));
  }
}

TEST_CASE("replay agrees with the plain engine where nothing interferes") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = plain(seed);
    require_same(bench::BaselineReplay(graph).run(), replay(graph));
  }
}

TEST_CASE("replay agrees with the plain engine under interference") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = interfering(seed);
    require_same(bench::BaselineReplay(graph).run(), replay(graph));
  }
}

TEST_CASE("replay agrees with the plain engine where tasks have classes of their own") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph =
        bench::random_graph({.tasks = tasks_of(seed),
                             .foreground_rate = 0.8,
                             .background_rate = 0.6,
                             .classes = static_cast<std::uint32_t>(1 + seed % 5),
                             .seed = seed});
    require_same(bench::BaselineReplay(graph).run(), replay(graph));
  }
}

TEST_CASE("replay agrees with the plain engine where tasks hold their streams") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = bench::random_graph({.tasks = tasks_of(seed),
                                                 .foreground_rate = 0.8,
                                                 .background_rate = 0.6,
                                                 .classes = static_cast<std::uint32_t>(seed % 4),
                                                 .seed = seed,
                                                 .links = static_cast<std::uint32_t>(seed % 3),
                                                 .holds = true});
    require_same(bench::BaselineReplay(graph).run(), replay(graph));
  }
}

TEST_CASE("the engines agree on a pipeline with and without interference") {
  for (const double rate : {1.0, 0.9}) {
    const TaskGraph graph = bench::pipeline_graph(
        {.stages = 8, .tasks = 20'000, .foreground_rate = rate, .background_rate = rate});
    const Timeline replayed = replay(graph);
    require_same(bench::BaselineReplay(graph).run(), replayed);
    require_same(simulate(graph), replayed);
  }
}

TEST_CASE("the makespan is the critical path of edges and stream order") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = plain(seed);
    REQUIRE(replay(graph).makespan.ps == critical_path(graph, true));
  }
}

TEST_CASE("the makespan lies between the critical path of the edges and the serial sum") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = plain(seed);
    std::int64_t serial = 0;
    for (TaskId t = 0; t < graph.size(); ++t) serial += graph.hot(t).duration_ps;
    const std::int64_t makespan = replay(graph).makespan.ps;
    REQUIRE(makespan >= critical_path(graph, false));
    REQUIRE(makespan <= serial);
  }
}

TEST_CASE("under interference a task takes between its work and its work at the slow rate") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = interfering(seed);
    const Timeline timeline = replay(graph);
    const double slowest = std::min(graph.foreground_rate(), graph.background_rate());
    for (TaskId t = 0; t < graph.size(); ++t) {
      const auto work = graph.hot(t).duration_ps;
      REQUIRE(timeline.duration(t).ps >= work);
      // One picosecond for the rounding of the end; durations are whole nanoseconds, so a rate
      // rounded at nine decimals adds less than that.
      REQUIRE(static_cast<double>(timeline.duration(t).ps) <=
              std::ceil(static_cast<double>(work) / slowest) + 1.0);
    }
  }
}

TEST_CASE("interference makes no task end earlier") {
  // Start times are maxima of sums of durations in a fixed order, hence monotone in durations.
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    const Timeline slowed = replay(interfering(seed));
    const Timeline free = sweep(plain(seed));  // the same graph
    for (TaskId t = 0; t < slowed.end.size(); ++t) REQUIRE(slowed.end[t] >= free.end[t]);
  }
}

TEST_CASE("a stream never runs two tasks at once") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = interfering(seed);
    const Timeline timeline = replay(graph);
    for (StreamId s = 0; s < graph.stream_count(); ++s) {
      const auto tasks = graph.stream_tasks(s);
      for (std::size_t i = 1; i < tasks.size(); ++i) {
        REQUIRE(timeline.start[tasks[i]] >= timeline.end[tasks[i - 1]]);
      }
    }
  }
}

TEST_CASE("the order in which edges are inserted changes nothing") {
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    CAPTURE(seed);
    bench::RandomShape shape{
        .tasks = tasks_of(seed), .foreground_rate = 0.9, .background_rate = 0.7, .seed = seed};
    const TaskGraph forward = bench::random_graph(shape);
    shape.reverse_edges = true;
    const TaskGraph reversed = bench::random_graph(shape);
    require_same(replay(forward), replay(reversed));
    REQUIRE(structure_hash(forward) == structure_hash(reversed));
  }
}
