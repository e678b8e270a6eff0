// rehearse_fit: measured kernel times (calibration/silicon) to the tables and residuals of GPU
// files.
//
// usage: rehearse_fit silicon SILICON_FOLDER GPUS_FOLDER [GPU...]
//        rehearse_fit training RESULTS_FOLDER GPUS_FOLDER GPU
//
// silicon: for each GPU, holds out a fifth of the shapes, tells the error on them, fits all of
// them, writes GPUS_FOLDER/GPU/*.bin and the marked sections of GPUS_FOLDER/GPU.yaml. training:
// from gemm.csv and attention.csv of calibration/pytorch on that GPU, what its products and
// attention take in training, in sections of their own.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "calibration/fit/attention_fit.hpp"
#include "calibration/fit/fit_training.hpp"
#include "calibration/fit/gemm_fit.hpp"
#include "calibration/fit/section.hpp"
#include "hardware/gpu.hpp"

namespace rehearse {
namespace {

struct Device {
  const char* gpu;      // configs/gpus/<gpu>.yaml
  const char* silicon;  // <silicon>.gemm_bf16.csv.gz
  const char* gemm;     // what was timed
  const char* attention;
};

constexpr const char* kVllm = "torch.nn.functional.linear under vLLM 0.24.0";
constexpr const char* kVllmFp8 = "CUTLASS scaled matmul under vLLM 0.24.0";
constexpr std::array kDevices = {
    Device{"a100-sxm", "a100_sxm", "linear under SGLang 0.5.10", "FlashAttention 2"},
    Device{"h100-sxm", "h100_sxm", kVllm, "FlashAttention 3"},
    Device{"h200-sxm", "h200_sxm", kVllm, "FlashAttention 3"},
    Device{"b200-sxm", "b200_sxm", kVllm, "TensorRT-LLM"},
    Device{"b300-sxm", "b300_sxm", kVllm, ""},
    Device{"gb200", "gb200", kVllm, ""},
    Device{"gb300", "gb300", kVllm, ""},
    Device{"l40s", "l40s", kVllm, ""},
    Device{"rtx-pro-6000", "rtx_pro_6000_server", kVllm, ""},
};

constexpr const char* kOrigin = "NVIDIA AIConfigurator (Apache-2.0)";

struct Folders {
  std::string silicon;
  std::string gpus;
};

// The YAML of one table, and the table itself beside it.
std::string fit_gemm(const Folders& folders, const Device& device, const Gpu& gpu, DType dtype) {
  const std::string name = "gemm_" + std::string(to_string(dtype));
  const std::string data = std::string(device.silicon) + "." + name + ".csv.gz";
  if (!std::filesystem::exists(folders.silicon + "/" + data)) return "";
  const auto samples = read_gemm_samples(folders.silicon + "/" + data);
  const GemmMachine machine{gpu.peak_of(dtype).value, gpu.memory_bandwidth.value, gpu.sm_count};
  const GemmFitOptions options = choose_gemm_options(samples, machine, dtype);
  const GemmErrors errors = held_out_gemm_errors(samples, machine, dtype, options);
  const std::string table = std::string(device.gpu) + "/" + name + ".bin";
  write_file(folders.gpus + "/" + table, encode(fit_gemm_grid(samples, machine, dtype, options)));
  fmt::print("{:13} {:10} median {:5.2f} %  mean {:5.2f} %  of {} products; {}\n", device.gpu, name,
             100 * errors.median, 100 * errors.mean, errors.products, options.yardstick);
  std::fflush(stdout);
  return fmt::format(
      "    {}:\n"
      "      table: {}\n"
      "      source: \"silicon/{}, {}: {}\"\n"
      "      yardstick: \"{}\"\n"
      "      held_out_median_percent: {:.2f}  # a fifth of the (n, k) pairs, products over 20 us\n"
      "      held_out_mean_percent: {:.2f}\n"
      "      held_out_products: {}\n",
      to_string(dtype), table, data, kOrigin, dtype == DType::kFp8 ? kVllmFp8 : device.gemm,
      options.yardstick, 100 * errors.median, 100 * errors.mean, errors.products);
}

std::string fit_attention(const Folders& folders, const Device& device, const Gpu& gpu) {
  const std::string data = std::string(device.silicon) + ".attention_bf16.csv.gz";
  const auto samples = read_attention_samples(folders.silicon + "/" + data);
  const AttentionMachine machine{gpu.peak_of(DType::kBf16).value, gpu.memory_bandwidth.value};
  const AttentionErrors errors = held_out_attention_errors(samples, machine);
  const std::string table = std::string(device.gpu) + "/attention_bf16.bin";
  write_file(folders.gpus + "/" + table, encode(fit_attention_grid(samples, machine)));
  fmt::print("{:13} {:10} median {:5.2f} %  mean {:5.2f} %  of {} kernels\n", device.gpu,
             "attention", 100 * errors.median, 100 * errors.mean, errors.kernels);
  std::fflush(stdout);
  return fmt::format(
      "    table: {}\n"
      "    source: \"silicon/{}, {}: {}, forward\"\n"
      "    held_out_median_percent: {:.2f}  # a fifth of the shapes\n"
      "    held_out_mean_percent: {:.2f}\n"
      "    held_out_kernels: {}\n",
      table, data, kOrigin, device.attention, 100 * errors.median, 100 * errors.mean,
      errors.kernels);
}

void fit_device(const Folders& folders, const Device& device) {
  const std::string path = folders.gpus + "/" + device.gpu + ".yaml";
  const Gpu gpu = read_gpu(parse_file(path));
  std::string text = read_file(path);
  std::string gemm;
  for (const DType dtype : {DType::kBf16, DType::kFp8}) {
    gemm += fit_gemm(folders, device, gpu, dtype);
  }
  text = with_section(text, "gemm", gemm);
  if (std::string(device.attention) != "") {
    text = with_section(text, "attention", fit_attention(folders, device, gpu));
  }
  write_file(path, text);
}

int run(const std::vector<std::string>& arguments) {
  if (arguments.size() == 4 && arguments[0] == "training") {
    const std::string file = arguments[2] + "/" + arguments[3] + ".yaml";
    for (const std::string& line : fit_training(arguments[1], file)) fmt::print("{}\n", line);
    return 0;
  }
  if (arguments.size() < 3 || arguments[0] != "silicon") {
    fmt::print(stderr,
               "usage: rehearse_fit silicon SILICON_FOLDER GPUS_FOLDER [GPU...]\n"
               "       rehearse_fit training RESULTS_FOLDER GPUS_FOLDER GPU\n");
    return 2;
  }
  const Folders folders{arguments[1], arguments[2]};
  const std::vector<std::string> wanted(arguments.begin() + 3, arguments.end());
  for (const Device& device : kDevices) {
    const bool all = wanted.empty();
    if (all || std::find(wanted.begin(), wanted.end(), device.gpu) != wanted.end()) {
      fit_device(folders, device);
    }
  }
  return 0;
}

}  // namespace
}  // namespace rehearse

int main(int argc, char** argv) {
  try {
    return rehearse::run({argv + 1, argv + argc});
  } catch (const std::exception& e) {
    fmt::print(stderr, "rehearse_fit: {}\n", e.what());
    return 1;
  }
}
