#include <catch2/catch.hpp>

#include "hardware/gemm_roofline.hpp"

// O4. Wave quantisation: `blocks` thread blocks on SMs that hold `occupancy` each run in
// ceil(blocks / (SMs x occupancy)) waves. 12 blocks on 8 SMs take 2 waves, the second half empty:
// mean utilisation 12 / (2 x 8) = 75 %.

using namespace rehearse;

TEST_CASE("o4: twelve blocks on eight SMs take two waves at 75 % utilisation") {
  CHECK(waves(12, 8, 1) == 2);
  CHECK(12.0 / static_cast<double>(waves(12, 8, 1) * 8) == 0.75);
}

TEST_CASE("o4: full waves waste nothing and one block more costs a wave") {
  CHECK(waves(16, 8, 1) == 2);
  CHECK(waves(17, 8, 1) == 3);
  CHECK(waves(17, 8, 2) == 2);
  CHECK(waves(1, 108, 1) == 1);
  CHECK(waves(0, 108, 1) == 0);
}

TEST_CASE("o4: a product's compute time counts whole waves of tiles") {
  // 8 SMs of 1 TFLOP/s each; 128 x 128 tiles over k = 64: 2 x 128 x 128 x 64 FLOPs = 2.097 us a
  // wave. 384 x 512 is 3 x 4 = 12 tiles: 2 waves. 384 x 513 needs a fifth column of tiles: 15,
  // still 2. 640 x 512 is 20 tiles: 3 waves.
  GemmTiling tiling;
  tiling.tiles = {{128, 128}};
  const GemmYardstick yardstick(tiling);
  const GemmMachine machine{8e12, 1e15, 8};
  const double wave = 2.0 * 128 * 128 * 64 / 1e12;
  const auto compute = [&](std::int64_t m, std::int64_t n) {
    GemmWork w;
    w.m = m;
    w.n = n;
    w.k = 64;
    return yardstick(machine, w).compute_s;
  };
  CHECK(compute(384, 512) == Approx(2 * wave).epsilon(1e-12));
  CHECK(compute(384, 513) == Approx(2 * wave).epsilon(1e-12));
  CHECK(compute(640, 512) == Approx(3 * wave).epsilon(1e-12));
}
