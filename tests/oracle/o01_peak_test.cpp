#include <catch2/catch.hpp>

#include "hardware/gpu.hpp"
#include "sim/config/catalog.hpp"

// O1. A peak is clock x SMs x multiply-adds a clock and SM x 2. The A100 has 108 SMs at 1410 MHz; a
// tensor core does 256 fp16 multiply-adds a clock, four of them an SM 1024 (tf32: half of that):
//   1.410e9 x 108 x  512 x 2 = 155.93 TFLOP/s (tf32)
//   1.410e9 x 108 x 1024 x 2 = 311.87 TFLOP/s (fp16)
// and 64 fp32 lanes an SM make 1.410e9 x 108 x 64 x 2 = 19.49 TFLOP/s.

using namespace rehearse;

namespace {

double derived_peak(const Gpu& gpu, double multiply_adds) {
  return gpu.boost_clock_hz * static_cast<double>(gpu.sm_count) * multiply_adds * 2;
}

}  // namespace

TEST_CASE("o1: the A100's peaks follow from its clock and SMs") {
  const Gpu a100 = read_gpu(resolve("gpus", Value::scalar("a100-sxm")));
  CHECK(derived_peak(a100, 512) == Approx(155.93e12).epsilon(1e-4));
  CHECK(derived_peak(a100, 1024) == Approx(311.87e12).epsilon(1e-4));
  // The datasheet rounds to three figures.
  CHECK(a100.peak_of(DType::kTf32).value == Approx(derived_peak(a100, 512)).epsilon(1e-3));
  CHECK(a100.peak_of(DType::kFp16).value == Approx(derived_peak(a100, 1024)).epsilon(1e-3));
  CHECK(a100.peak_of(DType::kFp32).value == Approx(derived_peak(a100, 64)).epsilon(1e-3));
}

TEST_CASE("o1: bf16 and fp16 have the same peak where both have tensor cores") {
  for (const char* name : {"a100-sxm", "h100-sxm", "h200-sxm", "b200-sxm", "l40s"}) {
    const Gpu gpu = read_gpu(resolve("gpus", Value::scalar(name)));
    CHECK(gpu.peak_of(DType::kBf16) == gpu.peak_of(DType::kFp16));
  }
}
