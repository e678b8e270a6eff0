#include <catch2/catch.hpp>
#include <string>

#include "calibration/fit/attention_fit.hpp"
#include "calibration/fit/gemm_training.hpp"
#include "hardware/gpu.hpp"
#include "sim/config/catalog.hpp"

// Kernels as PyTorch runs them in training, measured on an H200 (calibration/results/h200-sxm), on
// shapes that the fit has not seen.

using namespace rehearse;

namespace {

std::string results(const char* file) {
  return std::string(REHEARSE_SOURCE_DIR) + "/calibration/results/h200-sxm/" + file;
}

Gpu h200() { return read_gpu(resolve("gpus", Value::scalar("h200-sxm"))); }

}  // namespace

TEST_CASE("products of training, forward and backward, are within tolerance") {
  const GemmTrainingFit fit = fit_gemm_training(h200(), results("gemm.csv"));
  CHECK(fit.products > 300);
  CHECK(fit.median < 0.04);
  CHECK(fit.mean < 0.05);
}

TEST_CASE("attention of training, forward and backward, is within tolerance") {
  const Gpu gpu = h200();
  const AttentionMachine machine{gpu.peak_of(DType::kBf16).value, gpu.memory_bandwidth.value};
  for (const auto direction : {AttentionDirection::kForward, AttentionDirection::kBackward}) {
    const AttentionErrors errors = held_out_attention_errors(
        measured_attention(results("attention.csv"), direction, DType::kBf16), machine);
    CHECK(errors.kernels > 50);
    CHECK(errors.median < 0.03);
    CHECK(errors.mean < 0.05);
  }
}
