// Fine-tuning with LoRA measured on H200: its thin products
// (calibration/results/h200-sxm/experts.csv) and whole steps on one and two GPUs
// (tests/data/measured).
//
// Tolerances: products 12 % in the mean and no bias over 8 %; steps 4 % in the mean and the peak of
// allocated memory 3 %.

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "hardware/gpu.hpp"
#include "sim/config/catalog.hpp"
#include "tools/cli/measured.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

struct Mean {
  double absolute = 0, signed_sum = 0;
  int count = 0;
  void add(double error) {
    absolute += std::abs(error);
    signed_sum += error;
    ++count;
  }
  double mean() const { return absolute / count; }
  double bias() const { return signed_sum / count; }
};

// "m=8192 in=2048 out=3072 r=16"
std::map<std::string, std::int64_t> sizes_of(const std::string& shape) {
  std::map<std::string, std::int64_t> out;
  std::istringstream in(shape);
  for (std::string part; in >> part;) {
    const std::size_t at = part.find('=');
    out[part.substr(0, at)] = std::stoll(part.substr(at + 1));
  }
  return out;
}

// The product that a case of the benchmark is: x [m, in] times down [r, in] or up [out, r].
GemmWork product_of(const std::string& name, std::map<std::string, std::int64_t> s) {
  const bool down = name.starts_with("down");
  const std::int64_t in = down ? s["in"] : s["r"], out = down ? s["r"] : s["out"];
  GemmWork w;
  if (name.ends_with("forward")) {
    w.m = s["m"], w.n = out, w.k = in;
  } else if (name.ends_with("dgrad")) {
    w.m = s["m"], w.n = in, w.k = out;
    w.layout = GemmLayout::kDgrad;
  } else {
    w.m = out, w.n = in, w.k = s["m"];
    w.layout = GemmLayout::kWgrad;
  }
  return w;
}

// Microseconds of each product, with the kernel that adds up its splits.
std::map<std::pair<std::string, std::string>, double> measured_products() {
  std::ifstream in(std::string(REHEARSE_SOURCE_DIR) + "/calibration/results/h200-sxm/experts.csv");
  std::map<std::pair<std::string, std::string>, double> out;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("lora,") || line.find("Memset") != std::string::npos) continue;
    const std::size_t a = line.find(','), b = line.find(',', a + 1), c = line.find(',', b + 1);
    const std::string name = line.substr(a + 1, b - a - 1);
    if (name == "scale" || name == "add") continue;
    out[{name, line.substr(b + 1, c - b - 1)}] += std::stod(line.substr(line.rfind(',') + 1));
  }
  return out;
}

TEST_CASE("LoRA's thin products on H200 are predicted within 12 % in the mean") {
  const Gpu gpu = read_gpu(resolve("gpus", Value::scalar("h200-sxm")));
  Mean error;
  for (const auto& [what, us] : measured_products()) {
    const GemmWork w = product_of(what.first, sizes_of(what.second));
    error.add(kernel_time(gpu, w, Clocks::kSustained).value * 1e6 / us - 1);
  }
  REQUIRE(error.count >= 50);
  CHECK(error.mean() < 0.12);
  CHECK(std::abs(error.bias()) < 0.08);
}

TEST_CASE("steps with LoRA on H200 are predicted within 4 %, their memory within 3 %") {
  Mean step, peak;
  for (const char* name : {"h200-steps-more.jsonl", "h200-steps-kinds.jsonl"})
    for (const MeasuredRun& run :
         read_measured(std::string(REHEARSE_SOURCE_DIR) + "/tests/data/measured/" + name)) {
      if (run.scenario.empty()) continue;
      const Scenario& s = run.scenario.front();
      if (s.training.fine_tuning.kind != FineTuning::Kind::kLora) continue;
      const RunReport report = simulate(s).report;
      step.add(report.step_time.value / run.step->value - 1);
      peak.add(
          static_cast<double>(report.peak_memory.value) / static_cast<double>(run.peak->value) - 1);
    }
  REQUIRE(step.count == 8);
  CHECK(step.mean() < 0.04);
  CHECK(peak.mean() < 0.03);
}

}  // namespace
}  // namespace rehearse
