#include <catch2/catch.hpp>

#include "hardware/work.hpp"

// O40. Arithmetic intensity of inference in two-byte types, FLOPs over bytes with every operand
// once. A projection of L tokens from D to D: 2 L D^2 / 2 (2 L D + D^2) = L D / (2 L + D); to 4 D:
// 4 L D / (5 L + 4 D); scores of L queries with L keys of a head of H: L H / (2 H + L). In decode
// one token meets the same weights, and one query the L keys of the cache: L H / (L H + L + H).

using namespace rehearse;

namespace {

double intensity(std::int64_t m, std::int64_t n, std::int64_t k) {
  GemmWork w;
  w.m = m;
  w.n = n;
  w.k = k;
  return flops(KernelWork(w)).value / static_cast<double>(bytes(KernelWork(w)).value);
}

constexpr std::int64_t kL = 4096, kD = 4096, kH = 128;

}  // namespace

TEST_CASE("o40: prefill is bound by computing: 1365, 120 and 1820 FLOPs a byte") {
  CHECK(intensity(kL, kD, kD) == Approx(1365.33).epsilon(1e-5));
  CHECK(intensity(kL, kL, kH) == Approx(120.47).epsilon(1e-4));
  CHECK(intensity(kL, 4 * kD, kD) == Approx(1820.44).epsilon(1e-5));
}

TEST_CASE("o40: decode is bound by memory: one FLOP a byte") {
  CHECK(intensity(1, kD, kD) == Approx(.99951).epsilon(1e-5));
  CHECK(intensity(1, kL, kH) == Approx(.99201).epsilon(1e-5));
  CHECK(intensity(1, 4 * kD, kD) == Approx(.99969).epsilon(1e-5));
}
