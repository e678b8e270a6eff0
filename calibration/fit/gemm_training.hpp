#pragma once

#include <array>
#include <string>
#include <vector>

#include "hardware/gpu.hpp"

namespace rehearse {

// Products of training, as calibration/pytorch/gemm.py measured them, over the benchmark's times in
// a GPU's table: a curve over the table's time for each layout (GemmTrainingTime).
struct GemmTrainingFit {
  std::vector<double> microseconds;
  std::array<std::vector<double>, 3> factor;  // forward, dgrad, wgrad
  // Of types without a table: the median over that curve.
  std::array<double, 3> tf32{1, 1, 1};
  std::array<double, 3> fp32{1, 1, 1};
  double median = 0;  // error on a fifth of the (n, k) pairs, held out
  double mean = 0;
  std::size_t products = 0;  // held out
};
// `gpu` is taken without the type factors and the curve that it may already have.
GemmTrainingFit fit_gemm_training(const Gpu& gpu, const std::string& results_path);

}  // namespace rehearse
