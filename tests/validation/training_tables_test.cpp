#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <string>

#include "calibration/fit/layout_fit.hpp"
#include "calibration/fit/sdpa_fit.hpp"
#include "hardware/gemm_model.hpp"
#include "hardware/gpu.hpp"
#include "sim/config/catalog.hpp"

// The tables of training (products by layout, attention), against PyTorch's kernels on an H200
// (calibration/results/h200-sxm): on shapes that a fit has not seen, and as shipped.

using namespace rehearse;

namespace {

constexpr GemmLayout kLayouts[] = {GemmLayout::kForward, GemmLayout::kDgrad, GemmLayout::kWgrad};

std::string results(const char* file) {
  return std::string(REHEARSE_SOURCE_DIR) + "/calibration/results/h200-sxm/" + file;
}

Gpu gpu_named(const char* name) { return read_gpu(resolve("gpus", Value::scalar(name))); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.at(values.size() / 2);
}

GemmWork product(std::int64_t m, std::int64_t n, std::int64_t k, GemmLayout layout) {
  GemmWork w;
  w.m = m;
  w.n = n;
  w.k = k;
  w.layout = layout;
  return w;
}

double seconds(const Gpu& gpu, const GemmWork& w) {
  return kernel_time(gpu, w, Clocks::kSustained).value;
}

}  // namespace

TEST_CASE("products of training that the tables have not seen are within 3 %") {
  const Gpu gpu = gpu_named("h200-sxm");
  for (const GemmLayout layout : kLayouts) {
    const auto samples = layout_samples(gpu, layout, results("gemm.csv"));
    const LayoutErrors errors = held_out_layout_errors(samples);
    CHECK(errors.products > 100);
    CHECK(errors.median < 0.03);
    CHECK(errors.mean < 0.04);
  }
}

TEST_CASE("shipped tables reproduce the products of training that they were fitted to") {
  const Gpu gpu = gpu_named("h200-sxm");
  for (const GemmLayout layout : kLayouts) {
    std::vector<double> errors;
    for (const LayoutSample& s : layout_samples(gpu, layout, results("gemm.csv"))) {
      errors.push_back(std::abs(seconds(gpu, s.work) * 1e6 / s.measured_us - 1));
    }
    CHECK(median(errors) < 0.02);
  }
}

TEST_CASE("attention of training that the tables have not seen is within 1 %") {
  const Gpu gpu = gpu_named("h200-sxm");
  const AttentionMachine machine{gpu.peak_of(DType::kBf16).value, gpu.memory_bandwidth.value};
  for (const auto direction : {AttentionDirection::kForward, AttentionDirection::kBackward}) {
    const AttentionErrors errors = held_out_sdpa_errors(
        measured_attention(results("attention.csv"), direction, DType::kBf16), machine);
    CHECK(errors.kernels > 100);
    CHECK(errors.median < 0.01);
    CHECK(errors.mean < 0.02);
  }
}

TEST_CASE("FlashAttention 2 on Hopper takes what it was measured to take") {
  const Gpu h200 = gpu_named("h200-sxm"), h100 = gpu_named("h100-sxm-500w");
  const AttentionMachine machine{h200.peak_of(DType::kBf16).value, h200.memory_bandwidth.value};
  for (const auto direction : {AttentionDirection::kForward, AttentionDirection::kBackward}) {
    const auto samples =
        measured_attention(results("attention_flash.csv"), direction, DType::kBf16);
    const AttentionErrors unseen = held_out_sdpa_errors(samples, machine);
    CHECK(unseen.kernels > 100);
    CHECK(unseen.mean < 0.03);
    std::vector<double> errors, slower;
    for (AttentionSample s : samples) {
      if (s.microseconds < 100) continue;
      s.work.generation = 2;
      errors.push_back(
          std::abs(kernel_time(h200, s.work, Clocks::kBurst).value * 1e6 / s.microseconds - 1));
      slower.push_back(kernel_time(h100, s.work, Clocks::kBurst).value * 1e6 / s.microseconds);
    }
    CHECK(median(errors) < 0.01);
    CHECK(median(slower) == Approx(1).epsilon(0.02));  // the same processor
  }
}

TEST_CASE("far from what was measured a product of training follows the curve alone") {
  const Gpu gpu = gpu_named("h200-sxm");
  Gpu curve = gpu;
  GemmModel model = *gpu.gemm;
  model.training_tables.clear();
  curve.gemm = std::make_shared<const GemmModel>(std::move(model));
  for (const GemmLayout layout : kLayouts) {
    const GemmWork far = product(1 << 22, 1 << 23, 1 << 22, layout);
    CHECK(seconds(gpu, far) == Approx(seconds(curve, far)).epsilon(0.01));
    // A longer reduction than was measured differs, but not by much.
    const GemmWork longer = product(4096, 4096, 262144, layout);
    CHECK(seconds(gpu, longer) == Approx(seconds(curve, longer)).epsilon(0.1));
  }
}

TEST_CASE("a product's source tells its layout and where that was measured") {
  const GemmWork w = product(4096, 4096, 8192, GemmLayout::kWgrad);
  const auto source = price_kernel(gpu_named("h200-sxm"), w, Clocks::kBurst).source;
  CHECK(source.find("results/h200-sxm/gemm.csv, PyTorch's linear, wgrad") != std::string::npos);
  const auto carried = price_kernel(gpu_named("rtx-4090"), w, Clocks::kBurst).source;
  CHECK(carried.find("transferred from l40s") != std::string::npos);
}
