#include "calibration/fit/fit_training.hpp"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <stdexcept>

#include "calibration/fit/attention_fit.hpp"
#include "calibration/fit/gemm_training.hpp"
#include "calibration/fit/layout_fit.hpp"
#include "calibration/fit/sdpa_fit.hpp"
#include "calibration/fit/section.hpp"
#include "hardware/gpu.hpp"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

struct Target {
  std::string results;
  std::string folder;  // of the GPU file
  Gpu gpu;
  std::vector<std::string>& says;
};

std::string products(const Target& to) {
  const std::string path = to.results + "/gemm.csv";
  const GemmTrainingFit fit = fit_gemm_training(to.gpu, path);
  to.says.push_back(fmt::format("products in training: median {:.2f} %  mean {:.2f} %  of {}",
                                100 * fit.median, 100 * fit.mean, fit.products));
  return fmt::format(
      "    training_time:  # over the benchmark's, at the benchmark's time\n"
      "      microseconds: [{}]\n"
      "      forward: [{:.3f}]\n"
      "      dgrad: [{:.3f}]\n"
      "      wgrad: [{:.3f}]\n"
      "      source: \"{}, PyTorch's linear (held-out error: median {:.1f} %, mean {:.1f} %)\"\n"
      "    type_time:  # forward, dgrad, wgrad over the bf16 table at the type's own peak\n"
      "      tf32: [{:.2f}]\n"
      "      fp32: [{:.2f}]\n"
      "      source: \"{}, medians\"\n",
      fmt::join(fit.microseconds, ", "), fmt::join(fit.factor[0], ", "),
      fmt::join(fit.factor[1], ", "), fmt::join(fit.factor[2], ", "), path, 100 * fit.median,
      100 * fit.mean, fmt::join(fit.tf32, ", "), fmt::join(fit.fp32, ", "), path);
}

// What training's curve misses, one table a layout.
std::string tables(const Target& to) {
  constexpr std::array kLayouts = {GemmLayout::kForward, GemmLayout::kDgrad, GemmLayout::kWgrad};
  constexpr std::array kNames = {"forward", "dgrad", "wgrad"};
  const std::string path = to.results + "/gemm.csv";
  std::string text = fmt::format(
      "    training_tables:  # over that curve, by (m, n, k, bias)\n"
      "      bf16:\n"
      "        source: \"{}, PyTorch's linear\"\n",
      path);
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    const auto samples = layout_samples(to.gpu, kLayouts[i], path);
    const LayoutErrors errors = held_out_layout_errors(samples);
    const std::string table = fmt::format("{}/gemm_training_{}.bin", to.gpu.name, kNames[i]);
    write_file(to.folder + "/" + table, encode(fit_layout(samples, samples)));
    to.says.push_back(fmt::format("{} in training: median {:.2f} %  mean {:.2f} %  of {}",
                                  kNames[i], 100 * errors.median, 100 * errors.mean,
                                  errors.products));
    text += fmt::format(
        "        {}:\n"
        "          table: {}\n"
        "          held_out_median_percent: {:.2f}  # a fifth of the (n, k) pairs\n"
        "          held_out_mean_percent: {:.2f}\n"
        "          held_out_products: {}\n",
        kNames[i], table, 100 * errors.median, 100 * errors.mean, errors.products);
  }
  return text;
}

// What was measured of attention: a results file, and what its tables are called.
struct AttentionRuns {
  const char* file;
  const char* table;
  const char* source;
  DType dtype = DType::kBf16;
  const char* indent = "      ";
};

constexpr AttentionRuns kTrained{"attention", "attention_training",
                                 "PyTorch's scaled_dot_product_attention"};
constexpr AttentionRuns kTrainedFp32{"attention_fp32", "attention_fp32_training",
                                     "PyTorch's scaled_dot_product_attention", DType::kFp32,
                                     "        "};
constexpr AttentionRuns kFlash{"attention_flash", "attention_flash",
                               "FlashAttention 2 as PyTorch has it"};

// One direction, as lines at an indentation.
std::string attention(const Target& to, const AttentionRuns& runs, AttentionDirection direction) {
  const char* name = direction == AttentionDirection::kBackward ? "backward" : "forward";
  const auto samples =
      measured_attention(fmt::format("{}/{}.csv", to.results, runs.file), direction, runs.dtype);
  const AttentionMachine machine{to.gpu.peak_of(runs.dtype).value, to.gpu.memory_bandwidth.value};
  const AttentionErrors errors = held_out_sdpa_errors(samples, machine);
  const std::string table = fmt::format("{}/{}_{}.bin", to.gpu.name, runs.table, name);
  write_file(to.folder + "/" + table, encode(fit_sdpa_grid(samples, machine)));
  to.says.push_back(fmt::format("{}, {}: median {:.2f} %  mean {:.2f} %  of {}", runs.table, name,
                                100 * errors.median, 100 * errors.mean, errors.kernels));
  return fmt::format(
      "{0}{1}:\n"
      "{0}  table: {2}\n"
      "{0}  source: \"{3}/{4}.csv, {8}\"\n"
      "{0}  held_out_median_percent: {5:.2f}  # a fifth of the shapes\n"
      "{0}  held_out_mean_percent: {6:.2f}\n"
      "{0}  held_out_kernels: {7}\n",
      runs.indent, name, table, to.results, runs.file, 100 * errors.median, 100 * errors.mean,
      errors.kernels, runs.source);
}

std::string attention(const Target& to, const AttentionRuns& runs) {
  const std::string forward = attention(to, runs, AttentionDirection::kForward);
  return forward + attention(to, runs, AttentionDirection::kBackward);
}

// The line `key:` at an indentation with all that is indented more; npos where it is missing.
struct Block {
  std::size_t begin = std::string::npos, end = std::string::npos;
};

Block block_of(const std::string& text, const std::string& key) {
  const std::size_t at = text.find("\n" + key + ":");
  if (at == std::string::npos) return {};
  const std::size_t indent = key.find_first_not_of(' ');
  Block out{at + 1, text.find('\n', at + 1) + 1};
  while (out.end > 0 && out.end < text.size()) {
    const std::size_t first = text.find_first_not_of(' ', out.end);
    if (first == std::string::npos || first - out.end <= indent) break;
    out.end = text.find('\n', first) + 1;
  }
  return out;
}

// Puts `marks` where `key` stood, or at the end of the block of `parent`.
void put_marks(std::string& text, const std::string& key, const std::string& parent,
               const std::string& marks) {
  Block own = block_of(text, key);
  if (own.begin == std::string::npos) {
    const Block around = block_of(text, parent);
    if (around.begin == std::string::npos)
      throw std::runtime_error("the GPU file has neither '" + key + ":' nor '" + parent + ":'");
    own = {around.end, around.end};
  }
  text.replace(own.begin, own.end - own.begin, marks);
}

std::string marks_of(const std::string& indent, const std::string& name) {
  return indent + "# rehearse_fit begin " + name + "\n" + indent + "# rehearse_fit end " + name +
         "\n";
}

}  // namespace

std::string with_training_marks(std::string text) {
  const auto marked = [&](const std::string& name) {
    return text.find("# rehearse_fit begin " + name + "\n") != std::string::npos;
  };
  if (!marked("training_products")) {
    const Block types = block_of(text, "    type_time");
    if (types.begin != std::string::npos) text.erase(types.begin, types.end - types.begin);
    put_marks(text, "    training_time", "  gemm", marks_of("    ", "training_products"));
  }
  if (!marked("training_tables"))
    put_marks(text, "    training_tables", "  gemm", marks_of("    ", "training_tables"));
  if (!marked("training_attention"))
    put_marks(text, "    training", "  attention",
              "    training:\n" + marks_of("      ", "training_attention"));
  if (text.find("# fit_kernels begin\n") == std::string::npos)
    put_marks(text, "kernels", "",
              "kernels:\n  source: measured on this GPU\n  transfer: h200-sxm  # what was not\n"
              "  # fit_kernels begin\n  # fit_kernels end\n"
              "  # fit_decode begin\n  # fit_decode end\n");
  return text;
}

std::vector<std::string> fit_training(const std::string& results, const std::string& gpu_file) {
  std::vector<std::string> says;
  const fs::path path(gpu_file);
  const auto target = [&]() -> Target {
    Target t{results, path.parent_path().empty() ? "." : path.parent_path().string(),
             read_gpu(parse_file(gpu_file)), says};
    t.gpu.name = path.stem().string();
    return t;
  };
  const auto write_section = [&](const std::string& section, const std::string& body) {
    write_file(gpu_file, with_section(read_file(gpu_file), section, body));
  };
  // What an earlier fit wrote plays no part in this one.
  if (fs::exists(results + "/gemm.csv")) {
    write_section("training_products", "");
    write_section("training_tables", "");
    write_section("training_products", products(target()));
    // The tables are told over the curve that was just written.
    write_section("training_tables", tables(target()));
  }
  if (fs::exists(results + "/attention.csv")) {
    const Target t = target();
    std::string body = attention(t, kTrained);
    if (fs::exists(results + "/attention_fp32.csv"))
      body += "      fp32:  # the memory-efficient kernel\n" + attention(t, kTrainedFp32);
    write_section("training_attention", body);
  }
  // GPUs whose own attention is FlashAttention 2 have no second table of it.
  if (fs::exists(results + "/attention_flash.csv") &&
      has_section(read_file(gpu_file), "second_generation"))
    write_section("second_generation", attention(target(), kFlash));
  return says;
}

}  // namespace rehearse
