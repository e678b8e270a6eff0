#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hardware/gemm_table.hpp"

namespace rehearse {

// A matrix product that was timed.
struct GemmSample {
  std::int64_t m = 0, n = 0, k = 0;
  double microseconds = 0;
};
std::vector<GemmSample> read_gemm_samples(const std::string& path);

// How neighbouring products resemble each other, for one m: log2(time / yardstick) over log2 n and
// log2 k is a sum of independent parts: a constant, a smooth surface, an effect of n alone that
// varies slowly with k (tiles that fit n badly), the same of k, an effect of the single pair (the
// kernel that the library chose) and noise. Standard deviations are in log2.
struct GemmPrior {
  double constant = 1.5;
  double smooth = 0.45;
  double smooth_length = 4;  // octaves
  double n_effect = 0.18;
  double k_effect = 0.09;
  double effect_length = 3;    // along the other size
  double effect_reach = 0.15;  // along its own size
  double pair_effect = 0.09;
  double noise = 0.06;
  int reweighted = 0;  // rounds of reweighting products that stray
};

struct GemmFitOptions {
  GemmTiling tiling;
  std::string yardstick;  // the tiling in words
  GemmPrior prior;
};

// A grid through all samples: every (n, k) that occurs as a coordinate, left-out pairs included.
GemmGrid fit_gemm_grid(const std::vector<GemmSample>& samples, const GemmMachine& machine,
                       DType dtype, const GemmFitOptions& options);

struct GemmErrors {
  double median = 0;  // of |predicted / measured - 1|
  double mean = 0;
  std::size_t products = 0;
};
// Of products that take at least `at_least_us`.
GemmErrors gemm_errors(const GemmInterpolator& model, const GemmMachine& machine, DType dtype,
                       const std::vector<GemmSample>& samples, double at_least_us);

// The pair's fold of five, by a hash of (n, k): fold 0 is held out for reporting and never chooses.
int gemm_fold(const GemmSample& sample);
// Fits folds 1 to 4 and tells the errors on fold 0.
GemmErrors held_out_gemm_errors(const std::vector<GemmSample>& samples, const GemmMachine& machine,
                                DType dtype, const GemmFitOptions& options);

// The tiling and prior that predict folds 1 to 4 best, each from the other three, and sizes n that
// were measured nowhere.
GemmFitOptions choose_gemm_options(const std::vector<GemmSample>& samples,
                                   const GemmMachine& machine, DType dtype);

}  // namespace rehearse
