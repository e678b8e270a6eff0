#include <catch2/catch.hpp>

#include "hardware/work.hpp"

// O2. Arithmetic intensity of out[m,n] = x[m,k] . w[n,k]^T in 2-byte types, every operand moved
// once:
//   2 m n k FLOPs / 2 (m k + k n + m n) bytes = m n k / (m k + k n + m n).
//   4096 x 4096 x 4096: 4096 / 3                        = 1365.33
//   32 x 4096 x 4096:   1 / (1/32 + 1/4096 + 1/4096)    = 31.508
//   16 x 8192 x 8192:   1 / (1/16 + 1/8192 + 1/8192)    = 15.938
//   batch 512 through 1024 -> 4096: 512 x 4096 x 1024   = 315.08
//   batch 1:                        1 x 4096 x 1024     = 0.9988

using namespace rehearse;

namespace {

double intensity_of(std::int64_t m, std::int64_t n, std::int64_t k) {
  GemmWork w;
  w.m = m;
  w.n = n;
  w.k = k;
  w.dtype = w.out = DType::kFp16;
  return intensity(flops(w), bytes(w));
}

}  // namespace

TEST_CASE("o2: a square product of 4096 does 1365.33 FLOPs a byte") {
  CHECK(intensity_of(4096, 4096, 4096) == Approx(4096.0 / 3).epsilon(1e-12));
}

TEST_CASE("o2: a thin product's intensity tends to its smallest size") {
  CHECK(intensity_of(32, 4096, 4096) == Approx(31.508).epsilon(1e-4));
  CHECK(intensity_of(16, 8192, 8192) == Approx(15.938).epsilon(1e-4));
}

TEST_CASE("o2: a layer of 1024 to 4096 does 315.08 FLOPs a byte at batch 512 and one at batch 1") {
  CHECK(intensity_of(512, 4096, 1024) == Approx(315.08).epsilon(1e-4));
  CHECK(intensity_of(1, 4096, 1024) == Approx(0.9988).epsilon(1e-4));
}
