#include "strategies/variation.hpp"

#include <catch2/catch.hpp>
#include <cmath>

#include "sim/report/trials.hpp"
#include "tests/property/plans.hpp"

namespace rehearse {
namespace {

Simulation run(const PlanText& plan, const std::string& variation, int trials = 1) {
  const std::string text = plan.text() + "variation: " + variation + "\n";
  SimulationOptions options;
  options.ideal = true;
  options.trials = trials;
  return simulate(read_scenarios(parse_text(text, "plan"), "plan").front(), options);
}

double mean(const PlanText& plan, const std::string& variation, int trials) {
  return run(plan, variation, trials).report.trials.mean.value;
}

TEST_CASE("normal numbers have mean 0 and variance 1") {
  Draws draws(1, 2, 3);
  double sum = 0, squares = 0;
  constexpr int kCount = 100'000;
  for (int i = 0; i < kCount; ++i) {
    const double z = draws.normal();
    sum += z;
    squares += z * z;
  }
  CHECK(sum / kCount == Approx(0).margin(0.01));
  CHECK(squares / kCount == Approx(1).epsilon(0.02));
}

// The expected largest of eight normal numbers is 1.4236.
TEST_CASE("the largest of eight normal numbers") {
  Draws draws(4, 5, 6);
  double sum = 0;
  for (int i = 0; i < 20'000; ++i) sum += draws.largest_normal(8);
  CHECK(sum / 20'000 == Approx(1.4236).epsilon(0.01));
}

TEST_CASE("draws depend on seed, trial and rank") {
  const double one = Draws(1, 1, 1).uniform();
  CHECK(Draws(1, 1, 1).uniform() == one);
  CHECK(Draws(2, 1, 1).uniform() != one);
  CHECK(Draws(1, 2, 1).uniform() != one);
  CHECK(Draws(1, 1, 2).uniform() != one);
}

TEST_CASE("trials are summarised with Student's interval") {
  const Trials t = summarise_trials({Seconds(1), Seconds(2), Seconds(3)});
  CHECK(t.mean.value == Approx(2));
  CHECK(t.deviation.value == Approx(1));
  CHECK(t.interval_high.value == Approx(2 + 4.303 / std::sqrt(3)));
  CHECK(t.interval_low.value == Approx(2 - 4.303 / std::sqrt(3)));
}

// One rank alone: kernels vary about their mean, and the mean of steps stays.
TEST_CASE("jitter of one GPU leaves the mean") {
  PlanText plan;
  plan.cluster = "{name: dgx-h200, nodes: 1, gpus_per_node: 1}";
  const double even = run(plan, "{}").report.step_time.value;
  CHECK(mean(plan, "{kernel_jitter: 0.2}", 40) == Approx(even).epsilon(0.01));
}

TEST_CASE("ranks that wait for each other go at the pace of the slowest") {
  PlanText plan;
  const double even = run(plan, "{}").report.step_time.value;
  const Simulation s = run(plan, "{kernel_jitter: 0.2}", 20);
  CHECK(s.program.ranks.size() == 8);
  CHECK(s.report.trials.interval_low.value > even);
}

// Of eight ranks none is slow with probability 0.9^8 = 0.4305; else the step takes twice as long.
TEST_CASE("a straggler doubles the steps that have one") {
  PlanText plan;
  plan.cluster = "{name: dgx-h200, intra_node: {bandwidth: inf, latency: 0 us}}";
  const double even = run(plan, "{}").report.step_time.value;
  const Trials t =
      run(plan, "{straggler_probability: 0.1, straggler_slowdown: 2}", 400).report.trials;
  CHECK(t.least.value == Approx(even).epsilon(1e-3));
  CHECK(t.mean.value == Approx(even * (2 - 0.4305)).epsilon(0.05));
}

// What is folded along tensor parallelism draws for all of its group.
TEST_CASE("a folded tensor-parallel group varies as an unfolded one") {
  PlanText plan;
  plan.tensor = 8;
  const std::string text = plan.text() + "variation: {kernel_jitter: 0.3}\n";
  const Scenario s = read_scenarios(parse_text(text, "plan"), "plan").front();
  SimulationOptions folded, unfolded;
  folded.ideal = unfolded.ideal = true;
  folded.trials = unfolded.trials = 30;
  unfolded.fold = false;
  CHECK(simulate(s, folded).report.trials.mean.value ==
        Approx(simulate(s, unfolded).report.trials.mean.value).epsilon(0.01));
}

TEST_CASE("the same seed gives the same steps") {
  PlanText plan;
  const auto times = [&](const char* v) { return run(plan, v, 3).report.trials.step_times; };
  CHECK(times("{kernel_jitter: 0.1, seed: 5}") == times("{kernel_jitter: 0.1, seed: 5}"));
  CHECK(times("{kernel_jitter: 0.1, seed: 5}") != times("{kernel_jitter: 0.1, seed: 6}"));
}

}  // namespace
}  // namespace rehearse
