#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "sim/report/goodput.hpp"
#include "strategies/variation.hpp"

// O39. Young: a checkpoint of delta every tau costs delta/tau of the time, and a failure, one every
// M, loses tau/2 on average: waste delta/tau + tau/(2M), least at tau* = sqrt(2 delta M), where it
// is sqrt(2 delta/M). First order in delta/M: the model must come to it as delta/M goes to 0, and
// agree with a simulation for any delta/M.

using namespace rehearse;

namespace {

FailureModel model(double mean, double checkpoint, double restart = 0) {
  return {Seconds(mean), Seconds(checkpoint), Seconds(restart)};
}

// Goodput of `work` intervals, failures drawn one by one.
double simulated(const FailureModel& m, Seconds interval, int work) {
  Draws draws(39, 0, 0);
  const auto next_failure = [&] {
    return -m.mean_time_between.value * std::log(1 - draws.uniform());
  };
  double wall = 0, left = next_failure();
  for (int done = 0; done < work;) {
    const double piece = interval.value + m.checkpoint.value;
    if (left > piece) {
      wall += piece;
      left -= piece;
      ++done;
      continue;
    }
    wall += left;  // work since the last checkpoint is lost; the restart may fail too
    for (left = next_failure(); left < m.restart.value; left = next_failure()) wall += left;
    wall += m.restart.value;
    left -= m.restart.value;
  }
  return work * interval.value / wall;
}

}  // namespace

TEST_CASE("o39: the best interval is Young's where checkpoints are short") {
  for (const double ratio : {1e-3, 1e-4, 1e-6}) {
    const FailureModel m = model(1e6, 1e6 * ratio);
    CHECK(young_interval(m).value == Approx(std::sqrt(2 * ratio) * 1e6));
    CHECK(best_interval(m).value == Approx(young_interval(m).value).epsilon(std::sqrt(ratio)));
    CHECK(1 - goodput(m, best_interval(m)) == Approx(std::sqrt(2 * ratio)).epsilon(0.05));
  }
}

TEST_CASE("o39: no other interval does better than the best") {
  for (const double checkpoint : {1.0, 60.0, 600.0}) {
    const FailureModel m = model(10'000, checkpoint, 300);
    const double best = goodput(m, best_interval(m));
    for (double factor = 0.1; factor < 10; factor *= 1.1)
      CHECK(goodput(m, best_interval(m) * factor) <= best);
    CHECK(goodput(m, young_interval(m)) <= best);
  }
}

TEST_CASE("o39: the closed form is what a simulation of failures finds") {
  for (const FailureModel& m : {model(10'000, 60), model(10'000, 60, 600), model(2'000, 300, 100)})
    for (const double factor : {0.5, 1.0, 2.0}) {
      const Seconds interval = best_interval(m) * factor;
      CHECK(simulated(m, interval, 100'000) == Approx(goodput(m, interval)).epsilon(0.01));
    }
}
