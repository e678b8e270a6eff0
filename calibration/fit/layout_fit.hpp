#pragma once

#include <string>
#include <vector>

#include "hardware/gpu.hpp"
#include "hardware/ratio_table.hpp"

namespace rehearse {

// A product that a framework ran, in the sizes of the product that runs, and what the model without
// training's tables expects of it.
struct LayoutSample {
  GemmWork work;
  double expected_us = 0;
  double measured_us = 0;
};
// The products of a layout, bf16, in a results file (calibration/pytorch/gemm.py).
std::vector<LayoutSample> layout_samples(const Gpu& gpu, GemmLayout layout,
                                         const std::string& results_path);

// What the model misses, as a Gaussian process: log2(measured / expected) over (log2 m, log2 n,
// log2 k) is 0 far from measurements and near them a smooth surface, an effect of each size alone
// (tiles that fit it badly) and of all three (the kernel that the library chose); a bias adds a
// surface of its own. The grid has the sizes of `sizes_of_all`, held-out products included, and
// reaches 64 times beyond them, where nothing of the surface is left.
RatioGrid fit_layout(const std::vector<LayoutSample>& samples,
                     const std::vector<LayoutSample>& sizes_of_all);

struct LayoutErrors {
  double median = 0;  // of |predicted / measured - 1|
  double mean = 0;
  std::size_t products = 0;
};
// Fits without a fifth of the (n, k) pairs of the layer, by a hash, and tells the errors on them.
// Training's curve, of six numbers a layout, has seen them.
LayoutErrors held_out_layout_errors(const std::vector<LayoutSample>& samples);

}  // namespace rehearse
