#include <catch2/catch.hpp>
#include <string>

#include "hardware/gpu.hpp"
#include "sim/config/catalog.hpp"
#include "tests/unit/temp_folder.hpp"

using namespace rehearse;

namespace {

// A GPU of 10 SMs at 1 GHz, and what else its file says.
std::string plain(const std::string& more) {
  std::string text =
      "architecture: test\nsm_count: 10\nboost_clock_mhz: 1000\npeak: {bf16: 100 TFLOP/s}\n"
      "memory: 10 GB\nmemory_bandwidth: 1000 GB/s\n";
  text += more;
  return text;
}

Gpu gpu_of(const std::string& text) { return read_gpu(parse_text(text, "gpu.yaml")); }

std::string errors_of(const std::string& text) {
  try {
    gpu_of(text);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("every shipped GPU file reads, names itself and has the classes of kernels") {
  const auto names = catalog_names("gpus");
  CHECK(names.size() >= 12);
  for (const std::string& name : names) {
    INFO(name);
    const Gpu gpu = read_gpu(resolve("gpus", Value::scalar(name)));
    CHECK(gpu.name == name);
    CHECK(gpu.usable_memory > Bytes(0));
    CHECK(gpu.gemm != nullptr);
    CHECK(gpu.attention != nullptr);
    for (const char* kernel : {"vectorized", "strided", "cat", "copy", "fill", "norm",
                               "norm_backward", "reduction", "softmax", "softmax_backward", "nll",
                               "embedding", "embedding_backward", "adamw", "transpose", "memset"}) {
      CHECK(gpu.kernels.count(kernel) == 1);
    }
  }
}

TEST_CASE("datasheet figures of the H200") {
  const Gpu gpu = read_gpu(resolve("gpus", Value::scalar("h200-sxm")));
  CHECK(gpu.peak_of(DType::kBf16).value == 989.4e12);
  CHECK(gpu.memory == Bytes(141'000'000'000));
  CHECK(gpu.usable_memory == Bytes(143771LL << 20));
  CHECK(gpu.memory_bandwidth.value == 4.8e12);
}

TEST_CASE("a GPU file needs no efficiency") {
  const Gpu gpu = gpu_of(plain(""));
  CHECK(gpu.gemm == nullptr);
  CHECK(gpu.attention == nullptr);
  CHECK(gpu.sustained_clock == 1);
  CHECK(gpu.usable_memory == gpu.memory);
}

TEST_CASE("all mistakes of a GPU file are told at once, with their lines") {
  const std::string errors = errors_of(
      "architecture: test\nsm_count: 0\npeak: {bf16: 100 TFLOP/s}\nmemory: 10 GB\n"
      "memory_bandwidht: 1000 GB/s\nefficiency: {sustained_clock: 2}\n");
  CHECK_THAT(errors, Catch::Contains("gpu.yaml:2"));
  CHECK_THAT(errors, Catch::Contains("boost_clock_mhz"));
  CHECK_THAT(errors, Catch::Contains("memory_bandwidth"));
  CHECK_THAT(errors, Catch::Contains("sustained_clock"));
}

TEST_CASE("a type without a peak is a user's mistake that says what there is") {
  const Gpu gpu = gpu_of(plain(""));
  CHECK_THROWS_WITH(gpu.peak_of(DType::kFp8), Catch::Contains("fp8") && Catch::Contains("bf16"));
}

TEST_CASE("kernel classes are transferred: shares stay, issue rates follow SMs and clock") {
  const TempCatalog catalog;
  catalog.write("gpus/donor.yaml",
                plain("kernels: {source: measured, strided: {bandwidth_efficiency: 0.8, "
                      "elements_per_second: 1e11, fixed: 2 us}}\n"));
  const Gpu gpu = gpu_of(
      "architecture: test\nsm_count: 20\nboost_clock_mhz: 1500\npeak: {bf16: 100 TFLOP/s}\n"
      "memory: 10 GB\nmemory_bandwidth: 500 GB/s\nkernels: {transfer: donor}\n");
  const KernelClassRates& rates = gpu.kernels.at("strided");
  CHECK(rates.bandwidth_efficiency == 0.8);
  CHECK(rates.elements_per_second == Approx(3e11));  // 20 / 10 SMs, 1500 / 1000 MHz
  CHECK(rates.fixed.value == Approx(2e-6));
  CHECK(rates.source == "transferred from donor: measured");
}

TEST_CASE("an own kernel class wins over a transferred one") {
  const TempCatalog catalog;
  catalog.write("gpus/donor.yaml", plain("kernels: {copy: {bandwidth_efficiency: 0.8}}\n"));
  const Gpu gpu = gpu_of(plain("kernels: {transfer: donor, copy: {bandwidth_efficiency: 0.9}}\n"));
  CHECK(gpu.kernels.at("copy").bandwidth_efficiency == 0.9);
}

TEST_CASE("an idealised GPU has efficiency 1 and no fixed cost") {
  const Gpu gpu = idealised(read_gpu(resolve("gpus", Value::scalar("h200-sxm"))));
  CHECK(gpu.ideal);
  CHECK(gpu.gemm == nullptr);
  CHECK(gpu.sustained_clock == 1);
  CHECK(gpu.kernels.at("embedding_backward").bandwidth_efficiency == 1);
  CHECK(gpu.kernels.at("embedding_backward").fixed == Seconds(0));
}
