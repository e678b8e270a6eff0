#include <catch2/catch.hpp>
#include <string>

#include "calibration/fit/gemm_fit.hpp"
#include "hardware/gemm_model.hpp"
#include "hardware/gpu.hpp"
#include "sim/config/catalog.hpp"

// Measured matrix products (calibration/silicon) against the model: on (n, k) pairs that a fit has
// not seen, and as shipped.

using namespace rehearse;

namespace {

struct Measured {
  const char* gpu;
  const char* silicon;
  DType dtype;
  // Tolerances on left-out products over 20 us; the L40S's repeats stray by 10 % under its power
  // limit.
  double median = 0.05;
  double mean = 0.09;
};

const std::vector<Measured>& all_measured() {
  static const std::vector<Measured> rows = {
      {"a100-sxm", "a100_sxm", DType::kBf16},
      {"h100-sxm", "h100_sxm", DType::kBf16},
      {"h100-sxm", "h100_sxm", DType::kFp8},
      {"h200-sxm", "h200_sxm", DType::kBf16},
      {"h200-sxm", "h200_sxm", DType::kFp8},
      {"b200-sxm", "b200_sxm", DType::kBf16},
      {"b200-sxm", "b200_sxm", DType::kFp8},
      {"b300-sxm", "b300_sxm", DType::kBf16},
      {"b300-sxm", "b300_sxm", DType::kFp8},
      {"gb200", "gb200", DType::kBf16},
      {"gb200", "gb200", DType::kFp8},
      {"gb300", "gb300", DType::kBf16},
      {"gb300", "gb300", DType::kFp8},
      {"l40s", "l40s", DType::kBf16, 0.065, 0.09},
      {"l40s", "l40s", DType::kFp8},
      {"rtx-pro-6000", "rtx_pro_6000_server", DType::kBf16},
      {"rtx-pro-6000", "rtx_pro_6000_server", DType::kFp8},
  };
  return rows;
}

// Every m of some, so that the test stays quick.
std::vector<GemmSample> samples_of(const Measured& row, bool few) {
  const std::string path = fmt::format("{}/calibration/silicon/{}.gemm_{}.csv.gz",
                                       REHEARSE_SOURCE_DIR, row.silicon, to_string(row.dtype));
  std::vector<GemmSample> out;
  for (const GemmSample& s : read_gemm_samples(path)) {
    const bool kept = s.m == 64 || s.m == 513 || s.m == 2048 || s.m == 4096 || s.m == 16384;
    if (!few || kept) out.push_back(s);
  }
  return out;
}

Gpu gpu_of(const Measured& row) { return read_gpu(resolve("gpus", Value::scalar(row.gpu))); }

GemmMachine machine_of(const Gpu& gpu, DType dtype) {
  return {gpu.peak_of(dtype).value, gpu.memory_bandwidth.value, gpu.sm_count};
}

}  // namespace

TEST_CASE("matrix products of sizes that the fit has not seen are within tolerance") {
  for (const Measured& row : all_measured()) {
    INFO(row.silicon << " " << to_string(row.dtype));
    const Gpu gpu = gpu_of(row);
    // The tiling of the shipped table, the plain prior: nothing here was chosen on what is held
    // out.
    GemmFitOptions options;
    options.tiling = gpu.gemm->entries.at(row.dtype).table->get().grid().tiling;
    options.prior.reweighted = 4;
    const GemmErrors errors =
        held_out_gemm_errors(samples_of(row, true), machine_of(gpu, row.dtype), row.dtype, options);
    CHECK(errors.products > 100);
    CHECK(errors.median < row.median);
    CHECK(errors.mean < row.mean);
  }
}

TEST_CASE("shipped tables reproduce the products that they were fitted to") {
  for (const Measured& row : all_measured()) {
    INFO(row.silicon << " " << to_string(row.dtype));
    const Gpu gpu = gpu_of(row);
    const GemmErrors errors =
        gemm_errors(gpu.gemm->entries.at(row.dtype).table->get(), machine_of(gpu, row.dtype),
                    row.dtype, samples_of(row, false), 20);
    CHECK(errors.products > 9000);
    CHECK(errors.median < 0.04);
    CHECK(errors.mean < 0.06);
  }
}

TEST_CASE("a kernel's burst price is the table's time") {
  const Measured row = all_measured()[3];
  const Gpu gpu = gpu_of(row);
  std::size_t checked = 0;
  for (const GemmSample& s : samples_of(row, true)) {
    GemmWork w;
    w.m = s.m;
    w.n = s.n;
    w.k = s.k;
    const double table =
        gpu.gemm->entries.at(row.dtype).table->get()(machine_of(gpu, row.dtype), w).total();
    REQUIRE(kernel_time(gpu, w, Clocks::kBurst).value == Approx(table).epsilon(1e-9));
    ++checked;
  }
  CHECK(checked > 1000);
}
