#include <catch2/catch.hpp>

#include "hardware/gpu.hpp"
#include "sim/config/catalog.hpp"

// O3. Roofline: T = max(FLOPs / peak, bytes / bandwidth). The bounds meet at the ridge, the
// intensity peak / bandwidth: A100 312 TFLOP/s / 2.039 TB/s = 153.0, H100 989.4 TFLOP/s / 3.35 TB/s
// = 295.3 FLOPs a byte.

using namespace rehearse;

namespace {

Gpu ideal_gpu(const char* name) {
  return idealised(read_gpu(resolve("gpus", Value::scalar(name))));
}

GemmWork product(std::int64_t m, std::int64_t n, std::int64_t k) {
  GemmWork w;
  w.m = m;
  w.n = n;
  w.k = k;
  return w;
}

double ridge(const Gpu& gpu) {
  return gpu.peak_of(DType::kBf16).value / gpu.memory_bandwidth.value;
}

}  // namespace

TEST_CASE("o3: the ridges of A100 and H100") {
  CHECK(ridge(ideal_gpu("a100-sxm")) == Approx(153.0).epsilon(1e-3));
  CHECK(ridge(ideal_gpu("h100-sxm")) == Approx(295.2).epsilon(1e-3));
}

TEST_CASE("o3: a product above the ridge takes FLOPs over peak") {
  // 4096^3: 2 x 4096^3 FLOPs at 312 TFLOP/s = 440.5 us; intensity 1365 > 153.
  const Gpu gpu = ideal_gpu("a100-sxm");
  const double expected = 2.0 * 4096 * 4096 * 4096 / 312e12;
  CHECK(kernel_time(gpu, product(4096, 4096, 4096), Clocks::kSustained).value ==
        Approx(expected).epsilon(1e-12));
  CHECK(price_kernel(gpu, product(4096, 4096, 4096), Clocks::kBurst).bound == Bound::kCompute);
}

TEST_CASE("o3: a product below the ridge takes bytes over bandwidth") {
  // 16 x 8192 x 8192: 2 (16 x 8192 + 8192^2 + 16 x 8192) bytes at 2.039 TB/s; intensity 15.9 < 153.
  const Gpu gpu = ideal_gpu("a100-sxm");
  const double expected = 2.0 * (2 * 16.0 * 8192 + 8192.0 * 8192) / 2.039e12;
  CHECK(kernel_time(gpu, product(16, 8192, 8192), Clocks::kSustained).value ==
        Approx(expected).epsilon(1e-12));
  CHECK(price_kernel(gpu, product(16, 8192, 8192), Clocks::kBurst).bound == Bound::kMemory);
}

TEST_CASE("o3: an ideal memory-bound kernel takes bytes over bandwidth, whatever its class") {
  const Gpu gpu = ideal_gpu("h100-sxm");
  const MemoryWork work{"strided", Bytes(1 << 28), Bytes(1 << 27), 1 << 27};
  const double expected = 1.5 * (1 << 28) / 3.35e12;
  CHECK(kernel_time(gpu, work, Clocks::kSustained).value == Approx(expected).epsilon(1e-12));
}

TEST_CASE(
    "o3: ideal causal attention takes its FLOPs over peak, forward 2 and backward 5 products") {
  // Half a square of s^2 pairs, 2 FLOPs a multiply-add, products of head_size.
  const Gpu gpu = ideal_gpu("h100-sxm");
  AttentionWork w;
  w.batch = 2;
  w.heads = w.kv_heads = 16;
  w.length = w.kv_length = 8192;
  w.head_size = 128;
  const double product_s = 2.0 * 2 * 16 * 128 * 8192 * 8192 / 2 / 989.4e12;
  CHECK(kernel_time(gpu, w, Clocks::kBurst).value == Approx(2 * product_s).epsilon(1e-12));
  w.direction = AttentionDirection::kBackward;
  CHECK(kernel_time(gpu, w, Clocks::kBurst).value == Approx(5 * product_s).epsilon(1e-12));
}
