#include <catch2/catch.hpp>
#include <string>

#include "calibration/fit/attention_fit.hpp"
#include "hardware/attention_model.hpp"
#include "hardware/gpu.hpp"
#include "sim/config/catalog.hpp"

// Measured causal attention, forward (calibration/silicon), against the model: on shapes that a fit
// has not seen, and as shipped.

using namespace rehearse;

namespace {

struct Measured {
  const char* gpu;
  const char* silicon;
};
constexpr Measured kMeasured[] = {{"a100-sxm", "a100_sxm"},
                                  {"h100-sxm", "h100_sxm"},
                                  {"h200-sxm", "h200_sxm"},
                                  {"b200-sxm", "b200_sxm"}};

std::vector<AttentionSample> samples_of(const Measured& row) {
  return read_attention_samples(std::string(REHEARSE_SOURCE_DIR) + "/calibration/silicon/" +
                                row.silicon + ".attention_bf16.csv.gz");
}

Gpu gpu_of(const Measured& row) { return read_gpu(resolve("gpus", Value::scalar(row.gpu))); }

AttentionMachine machine_of(const Gpu& gpu) {
  return {gpu.peak_of(DType::kBf16).value, gpu.memory_bandwidth.value};
}

}  // namespace

TEST_CASE("attention of shapes that the fit has not seen is within 6 %") {
  for (const Measured& row : kMeasured) {
    INFO(row.silicon);
    // Every third sample, which is harder, so that the test stays quick.
    std::vector<AttentionSample> some;
    const auto all = samples_of(row);
    for (std::size_t i = 0; i < all.size(); i += 3) some.push_back(all[i]);
    const AttentionErrors errors = held_out_attention_errors(some, machine_of(gpu_of(row)));
    CHECK(errors.kernels > 100);
    CHECK(errors.median < 0.06);
    CHECK(errors.mean < 0.09);
  }
}

TEST_CASE("shipped tables reproduce the attention that they were fitted to") {
  for (const Measured& row : kMeasured) {
    INFO(row.silicon);
    const Gpu gpu = gpu_of(row);
    const AttentionErrors errors =
        attention_errors(gpu.attention->forward.table->get(), machine_of(gpu), samples_of(row));
    CHECK(errors.median < 0.03);
    CHECK(errors.mean < 0.05);
  }
}
