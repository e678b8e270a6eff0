#include <catch2/catch.hpp>

#include "sim/report/economics.hpp"

using namespace rehearse;

// 70 B parameters on 15 T tokens take 6 N D = 6.3e24 FLOPs. An H100 at 40 % of 989.4 TFLOP/s does
// them in 1.592e10 s = 4.422 M GPU-hours: 11.06 M at 2.5 a GPU-hour; over 4096 GPUs 45.0 days; at
// 700 W and PUE 1.2 4.422e6 h x 0.7 kW x 1.2 = 3.71 GWh.
TEST_CASE("Oracle: time, cost and energy of a training run by its MFU") {
  Economics e;
  e.price_per_gpu_hour = 2.5;
  e.power = Watts(700);
  e.pue = 1.2;
  constexpr int kGpus = 4096;
  const double tokens_per_second = 0.4 * 989.4e12 * kGpus / (6 * 70e9);
  const TrainingRun run = training_run(e, 15e12, tokens_per_second, kGpus);
  CHECK(run.cost == Approx(11.06e6).epsilon(1e-3));
  CHECK(run.time.value / 86400 == Approx(45.0).epsilon(1e-3));
  CHECK(run.joules / 3.6e12 == Approx(3.715).epsilon(1e-3));
  CHECK(run.gpu_hours == Approx(4.422e6).epsilon(1e-3));
}
