// Random graphs of transfers over shared links: the engine solves again only what a change reaches,
// the plain engine everything, and both say the same to the picosecond.

#include <catch2/catch.hpp>
#include <vector>

#include "sim/engine/replay.hpp"
#include "sim/flow/link_sharing.hpp"
#include "sim/flow/max_min.hpp"
#include "tests/bench/baseline_replay.hpp"
#include "tests/bench/graphs.hpp"

using namespace rehearse;

namespace {

bench::RandomShape shape(std::uint64_t seed) {
  constexpr double kRates[] = {1.0, 0.9, 1.0 / 3.0};
  bench::RandomShape out;
  out.tasks = static_cast<std::uint32_t>(1 + seed * 7 % 300);
  out.links = static_cast<std::uint32_t>(1 + seed % 9);
  out.foreground_rate = kRates[seed % 3];
  out.background_rate = kRates[seed / 3 % 3];
  out.classes = seed % 4 == 0 ? 3 : 0;
  out.seed = seed;
  return out;
}

}  // namespace

TEST_CASE("transfers are replayed as the plain engine replays them") {
  int met = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    const TaskGraph graph = bench::random_graph(shape(seed));
    met += graph.link_count() > 0;
    const Timeline engine = replay(graph);
    const Timeline plain = bench::BaselineReplay(graph).run();
    REQUIRE(engine.start == plain.start);
    REQUIRE(engine.end == plain.end);
  }
  CHECK(met > 200);
}

TEST_CASE("transfers end no earlier than alone, and where no link can fill at the same time") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    bench::RandomShape with = shape(seed);
    with.foreground_rate = with.background_rate = 1;
    with.classes = 0;
    const TaskGraph graph = bench::random_graph(with);
    const Timeline engine = simulate(graph);
    for (TaskId t = 0; t < graph.size(); ++t)
      REQUIRE(engine.duration(t).ps >= graph.hot(t).duration_ps);
    if (graph.link_count() > 0) continue;
    for (TaskId t = 0; t < graph.size(); ++t)
      REQUIRE(engine.duration(t).ps == graph.hot(t).duration_ps);
  }
}

TEST_CASE("solving what a change reaches gives bit by bit what solving everything gives") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    bench::SplitMix64 random(seed);
    const auto links = static_cast<std::size_t>(random.between(1, 12));
    constexpr std::size_t kFlows = 16;
    const std::vector<double> capacities(links, 1.0);
    LinkSharing sharing(capacities, kFlows);
    std::vector<std::vector<Crossing>> routes(kFlows);
    std::vector<double> caps(kFlows, 0);
    std::vector<bool> there(kFlows, false);
    for (int change = 0; change < 60; ++change) {
      for (std::int64_t n = random.between(1, 3); n > 0; --n) {
        const auto f = static_cast<FlowId>(random.between(0, kFlows - 1));
        if (there[f] && random.between(0, 1) == 0) {
          sharing.end(f);
          there[f] = false;
          continue;
        }
        caps[f] = static_cast<double>(random.between(1, 10)) / 10;
        if (there[f]) {
          sharing.set_cap(f, caps[f]);
          continue;
        }
        std::vector<Crossing> route;
        for (LinkId l = 0; l < links; ++l)
          if (random.between(0, 3) == 0)
            route.push_back({l, static_cast<double>(random.between(1, 7)) / 7});
        sharing.end(f);
        sharing.solve();
        routes[f] = route;
        sharing.begin(f, routes[f], caps[f]);
        there[f] = true;
      }
      sharing.solve();
      LinkSharing anew(capacities, kFlows);
      for (FlowId f = 0; f < kFlows; ++f)
        if (there[f]) anew.begin(f, routes[f], caps[f]);
      anew.solve();
      for (FlowId f = 0; f < kFlows; ++f)
        if (there[f]) REQUIRE(sharing.rate(f) == anew.rate(f));
    }
  }
}
