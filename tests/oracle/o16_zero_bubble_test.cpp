#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"
#include "tests/unit/schedule_play.hpp"

// The bubble of schedules that split backward, messages free. tf: a forward; tb: the gradients of
// activations; tw: those of weights; for one micro-batch on one chunk. p ranks, m micro-batches.
//
// ZB-H1 (Qi et al. 2024, table 2): the first rank waits (p-1) tb for its first gradient, as in
// 1F1B, having run p forwards. From there on rank r owes r gradients of weights, so a gradient
// travels from the last rank to the first at the pace of tf + tb, and the first is done with its
// last micro-batch (p-1)(tf - tw) later than without waiting. In all (p-1)(tf + tb - tw), where
// tf >= tw.
// ZB-H2 and ZB-V (sections 2.3.2 and 6): no rank waits between its first and last action where tf =
// tb = tw. DualPipe (DeepSeek-V3 technical report, table 2): (p/2 - 1)(F&B + B - 3W) where B = tb +
// tw, W = tw and a forward and a backward that run as one take F&B, here F + B; where tf = tb.

using namespace rehearse;
using namespace rehearse::test;

TEST_CASE("o16: ZB-H1 has a bubble of (p - 1)(tf + tb - tw)") {
  for (const Times& t : {Times{1, 1, 1}, Times{2, 2, 1}, Times{3, 4, 2}, Times{10, 12, 8}})
    for (const auto& [p, m] : std::vector<std::pair<int, int>>{{2, 4}, {4, 8}, {8, 16}, {8, 32}}) {
      CAPTURE(p, m, t.forward, t.inputs, t.weights);
      CHECK(Play(*find_schedule("zb-h1"), {p, m, 1}, t).end() ==
            m * (t.forward + t.inputs + t.weights) + (p - 1) * (t.forward + t.inputs - t.weights));
    }
}

TEST_CASE("o16: ZB-H2 has no bubble where forward and both parts of backward take the same") {
  for (const auto& [p, m] : std::vector<std::pair<int, int>>{{2, 4}, {4, 8}, {8, 16}, {8, 64}}) {
    const Play play(*find_schedule("zb-h2"), {p, m, 1}, {1, 1, 1});
    for (int r = 0; r < p; ++r) CHECK(play.span(static_cast<std::size_t>(r)) == 3 * m);
    CHECK(play.end() == 3 * m + p - 1);
  }
}

TEST_CASE("o16: ZB-V has no bubble where forward and both parts of backward take the same") {
  for (const auto& [p, m] : std::vector<std::pair<int, int>>{{2, 4}, {4, 8}, {8, 16}, {8, 24}}) {
    const Play play(*find_schedule("zbv"), {p, m, 2}, {1, 1, 1});
    for (int r = 0; r < p; ++r) CHECK(play.span(static_cast<std::size_t>(r)) == 3 * 2 * m);
    CHECK(play.end() == 3 * 2 * m + p - 1);
  }
}

TEST_CASE("o16: DualPipe has a bubble of (p/2 - 1)(F&B + B - 3W)") {
  for (const Times& t : {Times{1, 1, 1}, Times{2, 2, 1}, Times{10, 10, 8}})
    for (const auto& [p, m] : std::vector<std::pair<int, int>>{{2, 4}, {4, 8}, {8, 16}, {8, 20}}) {
      CAPTURE(p, m, t.forward, t.inputs, t.weights);
      const int b = t.inputs + t.weights, fb = t.forward + b;
      CHECK(Play(*find_schedule("dualpipe"), {p, m, 2}, t).end() ==
            m * fb + (p / 2 - 1) * (fb + b - 3 * t.weights));
    }
}

// The whole simulator, steps back to back. Without a bubble of its own at its start or end a rank
// goes on with the next step where it waits in the first: ZB-V's ranks are then never idle, while
// ZB-H1's first rank, which starts first and ends last, keeps its bubble.
TEST_CASE("o16: steps back to back") {
  const auto run = [](const char* schedule, int p, int m, int layers, int tf, int tb, int tw) {
    Ideal ideal;
    ideal.model = tiny_model(layers);
    ideal.gpus = p;
    ideal.training = micro_batches(m);
    ideal.plan = fmt::format("pipeline_parallel: {}, schedule: {}", p, schedule);
    return Retimed(ideal, SimTime(tf), SimTime(tb), SimTime(tw)).step.ps;
  };
  CHECK(run("zbv", 4, 8, 8, 1000, 1000, 1000) == 2 * 8 * 3000);
  CHECK(run("zb-h2", 4, 8, 4, 1000, 1000, 1000) == 8 * 3000);
  CHECK(run("zb-h1", 4, 8, 4, 1000, 1000, 1000) == 8 * 3000 + 3 * 1000);
  CHECK(run("zb-h1", 4, 8, 4, 3000, 4000, 2000) == 8 * 9000 + 3 * 5000);
  CHECK(run("dualpipe", 4, 8, 4, 2000, 2000, 1000) == 8 * 5000 + 5000);
  CHECK(run("1f1b", 4, 8, 4, 1000, 1000, 1000) == (8 + 3) * 3000);
}
