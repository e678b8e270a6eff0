#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O19. Messages that take a pure delay c per hop: infinite bandwidth, the sender is not occupied,
// and they are sent as soon as there is something to send.
// GPipe: the path goes down the pipeline once and back once, + 2 (p-1) c.
// 1F1B: p micro-batches are in flight in a round trip, which takes p (tf + tb) + 2 (p-1) c; for p|m
// there are m/p such rounds, each 2 (p-1) c late, and 2 (p-2) c of filling and draining:
// + c [2 (p-1) m/p + 2 (p-2)]. So 1F1B is as fast as GPipe only where messages are free.

using namespace rehearse;
using namespace rehearse::test;

namespace {

constexpr std::int64_t kUnit = 1'000'000'000;  // ps; 1 ms

Retimed run(const char* schedule, int p, int m, int tf, int tb, int delay_us) {
  Ideal ideal;
  ideal.model = tiny_model(p);
  ideal.gpus = p;
  ideal.link = fmt::format("bandwidth: inf, latency: {} us", delay_us);
  ideal.training = micro_batches(m);
  ideal.plan = fmt::format("pipeline_parallel: {}, schedule: {}", p, schedule);
  return Retimed(ideal, SimTime(tf * kUnit), SimTime(tb * kUnit));
}

}  // namespace

TEST_CASE("o19: four stages, eight micro-batches, forward 1, backward 2, delay 0.1") {
  CHECK(run("gpipe", 4, 8, 1, 2, 100).step.ps == 33'600'000'000);
  CHECK(run("1f1b", 4, 8, 1, 2, 100).step.ps == 34'600'000'000);
}

TEST_CASE("o19: GPipe pays the delay on the way down and back") {
  for (const auto& [p, m] : std::vector<std::pair<int, int>>{{2, 1}, {2, 5}, {4, 4}, {8, 16}}) {
    const std::int64_t c = kUnit / 20;
    CHECK(run("gpipe", p, m, 1, 2, 50).step.ps == (m + p - 1) * 3 * kUnit + 2 * (p - 1) * c);
  }
}

TEST_CASE("o19: 1F1B pays it in every round of p micro-batches") {
  for (const auto& [p, m] : std::vector<std::pair<int, int>>{
           {2, 2}, {2, 4}, {2, 8}, {3, 6}, {4, 4}, {4, 8}, {4, 16}, {8, 16}}) {
    const std::int64_t c = kUnit / 20;
    const std::int64_t late = 2 * (p - 1) * m / p + 2 * (p - 2);
    CAPTURE(p, m);
    CHECK(run("1f1b", p, m, 1, 2, 50).step.ps == (m + p - 1) * 3 * kUnit + late * c);
  }
}

// A delay is not a rate: messages that leave one unit apart arrive one unit apart, however long
// they take.
TEST_CASE("o19: delays longer than a forward do not add up") {
  const std::int64_t c = 5 * kUnit;
  for (const auto& [p, m] : std::vector<std::pair<int, int>>{{2, 8}, {4, 8}})
    CHECK(run("gpipe", p, m, 1, 2, 5000).step.ps == (m + p - 1) * 3 * kUnit + 2 * (p - 1) * c);
}
