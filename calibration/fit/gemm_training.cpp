#include "calibration/fit/gemm_training.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "calibration/fit/gemm_fit.hpp"
#include "calibration/fit/results.hpp"
#include "hardware/gemm_model.hpp"

namespace rehearse {

namespace {

constexpr std::array kLayouts = {GemmLayout::kForward, GemmLayout::kDgrad, GemmLayout::kWgrad};
constexpr std::array kDirections = {"forward", "dgrad", "wgrad"};
const std::vector<double> kKnots = {10, 30, 100, 300, 1000, 3000};

struct Sample {
  GemmWork work;
  double table_us = 0;
  double measured_us = 0;
  bool held = false;
};

std::vector<Sample> samples_of(const Gpu& gpu, const std::vector<MeasuredCall>& calls, DType dtype,
                               std::size_t layout) {
  std::vector<Sample> samples;
  for (const MeasuredCall& call : calls) {
    if (call.op != "linear" || call.dtype != to_string(dtype) ||
        call.direction != kDirections[layout]) {
      continue;
    }
    Sample s;
    s.work = work_of(call, kLayouts[layout]);
    s.work.dtype = dtype;
    s.work.out = dtype == DType::kBf16 ? DType::kBf16 : DType::kFp32;
    s.table_us = kernel_time(gpu, s.work, Clocks::kBurst).value * 1e6;
    s.measured_us = call.microseconds;
    s.held = gemm_fold({0, call.number("n"), call.number("k"), 0}) == 0;
    samples.push_back(s);
  }
  return samples;
}

// Weights of the knots at a time: those of linear interpolation over its logarithm.
Eigen::VectorXd weights_at(double microseconds) {
  Eigen::VectorXd w = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(kKnots.size()));
  const double us = std::clamp(microseconds, kKnots.front(), kKnots.back());
  const auto above = std::upper_bound(kKnots.begin(), kKnots.end() - 1, us);
  const auto high = static_cast<Eigen::Index>(above - kKnots.begin());
  w(high) = std::log2(us / *(above - 1)) / std::log2(*above / *(above - 1));
  w(high - 1) = 1 - w(high);
  return w;
}

// Least absolute deviations of measured / table by reweighted least squares: a few products that
// took a bad kernel must not bend the curve.
Eigen::VectorXd fit_curve(const std::vector<Sample>& samples) {
  const auto knots = static_cast<Eigen::Index>(kKnots.size());
  Eigen::VectorXd curve = Eigen::VectorXd::Ones(knots);
  for (int round = 0; round < 50; ++round) {
    Eigen::MatrixXd normal = Eigen::MatrixXd::Identity(knots, knots) * 1e-6;
    Eigen::VectorXd right = Eigen::VectorXd::Constant(knots, 1e-6);
    for (const Sample& s : samples) {
      const Eigen::VectorXd w = weights_at(s.table_us);
      const double ratio = s.measured_us / s.table_us;
      const double importance = 1 / std::max(0.01, std::abs(ratio - w.dot(curve)));
      normal += importance * w * w.transpose();
      right += importance * ratio * w;
    }
    curve = normal.ldlt().solve(right);
  }
  return curve;
}

double median(std::vector<double> values) {
  if (values.empty()) return 1;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// What a type without a table takes over the one it shares, beyond the curve.
double type_factor(const std::vector<Sample>& samples, const Eigen::VectorXd& curve) {
  std::vector<double> ratios;
  for (const Sample& s : samples) {
    ratios.push_back(s.measured_us / (s.table_us * weights_at(s.table_us).dot(curve)));
  }
  return median(std::move(ratios));
}

Gpu without_training(Gpu gpu) {
  auto model = std::make_shared<GemmModel>(*gpu.gemm);
  model->type_time.clear();
  model->training = {};
  gpu.gemm = std::move(model);
  return gpu;
}

}  // namespace

GemmTrainingFit fit_gemm_training(const Gpu& with_training, const std::string& results_path) {
  const Gpu gpu = without_training(with_training);
  const std::vector<MeasuredCall> calls = read_calls(results_path);
  GemmTrainingFit fit;
  fit.microseconds = kKnots;
  std::vector<double> errors;
  for (std::size_t layout = 0; layout < kLayouts.size(); ++layout) {
    const std::vector<Sample> all = samples_of(gpu, calls, DType::kBf16, layout);
    if (all.empty()) throw std::runtime_error(results_path + ": no products of a direction");
    std::vector<Sample> kept;
    std::copy_if(all.begin(), all.end(), std::back_inserter(kept),
                 [](const Sample& s) { return !s.held; });
    const Eigen::VectorXd trial = fit_curve(kept);
    for (const Sample& s : all) {
      const double predicted = s.table_us * weights_at(s.table_us).dot(trial);
      if (s.held) errors.push_back(std::abs(predicted / s.measured_us - 1));
    }
    const Eigen::VectorXd curve = fit_curve(all);
    fit.factor[layout].assign(curve.begin(), curve.end());
    fit.tf32[layout] = type_factor(samples_of(gpu, calls, DType::kTf32, layout), curve);
    fit.fp32[layout] = type_factor(samples_of(gpu, calls, DType::kFp32, layout), curve);
  }
  fit.products = errors.size();
  for (const double e : errors) fit.mean += e / static_cast<double>(errors.size());
  fit.median = median(std::move(errors));
  return fit;
}

}  // namespace rehearse
