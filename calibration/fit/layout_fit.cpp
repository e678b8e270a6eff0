#include "calibration/fit/layout_fit.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "calibration/fit/gaussian_process.hpp"
#include "calibration/fit/gemm_fit.hpp"
#include "calibration/fit/results.hpp"
#include "hardware/gemm_model.hpp"
#include "hardware/table_bytes.hpp"

namespace rehearse {

namespace {

constexpr std::size_t kSizes = 3;
constexpr std::size_t kFewest = 5;  // products that a size of the grid must occur in

// Standard deviations in log2, lengths in octaves. Chosen by left-out products of the H200's bf16
// layouts.
struct Prior {
  double smooth = 0.12;
  double smooth_length = 3;
  std::array<double, kSizes> effect{0.03, 0.05, 0.05};
  double effect_reach = 0.3;  // along its own size
  double effect_length = 3;   // along the others
  double pair_effect = 0.05;  // of all sizes together: the kernel that the library chose
  double pair_length = 4;     // octaves of m that share it
  double bias = 0.05;
  double bias_length = 6;
  double noise = 0.025;
  int reweighted = 3;
};

// Matern, nu = 3/2.
double smooth_correlation(double distance, double length) {
  const double r = std::sqrt(3.0) * std::abs(distance) / length;
  return (1 + r) * std::exp(-r);
}

std::array<std::int64_t, kSizes> sizes_of(const GemmWork& w) { return {w.m, w.n, w.k}; }

// The process's correlations by pairs of sizes, so that a grid of many cells is cheap: a point's
// coordinates are indices into the sizes that occur, and its last one the bias.
class Correlations {
 public:
  Correlations(const std::array<std::vector<std::int64_t>, kSizes>& axes, const Prior& prior)
      : prior_(prior) {
    for (std::size_t a = 0; a < kSizes; ++a) tabulate(axes[a], a);
  }

  double operator()(const double* a, const double* b) const {
    std::array<const Entry*, kSizes> e{};
    for (std::size_t i = 0; i < kSizes; ++i) {
      const auto row = static_cast<std::size_t>(a[i]), column = static_cast<std::size_t>(b[i]);
      e[i] = &tables_[i][row * counts_[i] + column];
    }
    double sum = prior_.smooth * prior_.smooth * e[0]->smooth * e[1]->smooth * e[2]->smooth;
    for (std::size_t i = 0; i < kSizes; ++i) {
      const std::size_t j = (i + 1) % kSizes, k = (i + 2) % kSizes;
      sum += prior_.effect[i] * prior_.effect[i] * e[i]->own * e[j]->along * e[k]->along;
    }
    sum += prior_.pair_effect * prior_.pair_effect * e[0]->pair * e[1]->own * e[2]->own;
    const double bias = e[0]->bias * e[1]->bias * e[2]->bias;
    return sum + a[kSizes] * b[kSizes] * prior_.bias * prior_.bias * bias;
  }

 private:
  struct Entry {
    double smooth, own, along, pair, bias;
  };

  void tabulate(const std::vector<std::int64_t>& sizes, std::size_t axis) {
    counts_[axis] = sizes.size();
    for (const std::int64_t x : sizes) {
      for (const std::int64_t y : sizes) {
        const double d = std::log2(static_cast<double>(x) / static_cast<double>(y));
        tables_[axis].push_back({smooth_correlation(d, prior_.smooth_length),
                                 std::exp(-std::abs(d) / prior_.effect_reach),
                                 smooth_correlation(d, prior_.effect_length),
                                 std::exp(-std::abs(d) / prior_.pair_length),
                                 smooth_correlation(d, prior_.bias_length)});
      }
    }
  }

  Prior prior_;
  std::array<std::size_t, kSizes> counts_{};
  std::array<std::vector<Entry>, kSizes> tables_;
};

// Sizes that occur, and how often.
std::map<std::int64_t, std::size_t> counts_along(const std::vector<LayoutSample>& samples,
                                                 std::size_t axis) {
  std::map<std::int64_t, std::size_t> out;
  for (const LayoutSample& s : samples) ++out[sizes_of(s.work)[axis]];
  return out;
}

// Sizes of the grid: those of a few products at least, and beyond them to where only the mean is
// left.
std::vector<std::int64_t> grid_axis(const std::map<std::int64_t, std::size_t>& counts) {
  std::vector<std::int64_t> out;
  for (const auto& [size, count] : counts) {
    if (count >= kFewest) out.push_back(size);
  }
  const std::int64_t first = out.front(), last = out.back();
  for (const std::int64_t factor : {8, 64}) {
    if (first / factor >= 1) out.push_back(first / factor);
    out.push_back(last * factor);
  }
  std::sort(out.begin(), out.end());
  return out;
}

double index_in(const std::vector<std::int64_t>& sizes, std::int64_t size) {
  return static_cast<double>(std::lower_bound(sizes.begin(), sizes.end(), size) - sizes.begin());
}

// All sizes that points use, and the points as indices into them.
struct Coordinates {
  std::array<std::vector<std::int64_t>, kSizes> sizes;

  Coordinates(const std::vector<LayoutSample>& samples, const RatioGrid& grid) {
    for (std::size_t a = 0; a < kSizes; ++a) {
      sizes[a] = grid.axes[a];
      for (const auto& [size, count] : counts_along(samples, a)) sizes[a].push_back(size);
      std::sort(sizes[a].begin(), sizes[a].end());
      sizes[a].erase(std::unique(sizes[a].begin(), sizes[a].end()), sizes[a].end());
    }
  }
  GaussianProcess::Points of(const std::vector<LayoutSample>& samples) const {
    GaussianProcess::Points points(static_cast<Eigen::Index>(samples.size()), kSizes + 1);
    Eigen::Index row = 0;
    for (const LayoutSample& s : samples) {
      for (std::size_t a = 0; a < kSizes; ++a) {
        points(row, static_cast<Eigen::Index>(a)) = index_in(sizes[a], sizes_of(s.work)[a]);
      }
      points(row++, kSizes) = s.work.bias ? 1 : 0;
    }
    return points;
  }
  GaussianProcess::Points of(const RatioGrid& grid) const {
    GaussianProcess::Points points(static_cast<Eigen::Index>(grid.cells()), kSizes + 1);
    Eigen::Index row = 0;
    for (const std::int64_t m : grid.axes[0]) {
      for (const std::int64_t n : grid.axes[1]) {
        for (const std::int64_t k : grid.axes[2]) {
          for (const std::int64_t b : grid.axes[3]) {
            points.row(row++) << index_in(sizes[0], m), index_in(sizes[1], n),
                index_in(sizes[2], k), static_cast<double>(b - 1);
          }
        }
      }
    }
    return points;
  }
};

// The model without what an earlier fit of the tables has learned, where no clock is lowered.
Gpu without_tables(Gpu gpu) {
  auto model = std::make_shared<GemmModel>(*gpu.gemm);
  model->training_tables.clear();
  gpu.gemm = std::move(model);
  gpu.sustained_products = gpu.sustained_clock = 1;
  return gpu;
}

// The fold of five of the layer's (n, k).
int fold_of(const GemmWork& w) {
  const bool forward = w.layout == GemmLayout::kForward, wgrad = w.layout == GemmLayout::kWgrad;
  const std::int64_t n = forward ? w.n : wgrad ? w.m : w.k;
  return gemm_fold({0, n, forward ? w.k : w.n, 0});
}

}  // namespace

std::vector<LayoutSample> layout_samples(const Gpu& gpu, GemmLayout layout,
                                         const std::string& results_path) {
  constexpr std::array kNames = {"forward", "dgrad", "wgrad"};
  const Gpu base = without_tables(gpu);
  std::vector<LayoutSample> out;
  for (const MeasuredCall& call : read_calls(results_path)) {
    if (call.op != "linear" || call.dtype != "bf16" ||
        call.direction != kNames[static_cast<std::size_t>(layout)]) {
      continue;
    }
    const GemmWork w = work_of(call, layout);
    const double expected = kernel_time(base, w, Clocks::kSustained).value * 1e6;
    out.push_back({w, expected, call.microseconds});
  }
  return out;
}

RatioGrid fit_layout(const std::vector<LayoutSample>& samples,
                     const std::vector<LayoutSample>& sizes_of_all) {
  RatioGrid grid;
  bool bias = false;
  for (const LayoutSample& s : sizes_of_all) bias = bias || s.work.bias;
  for (std::size_t a = 0; a < kSizes; ++a) {
    grid.axes.push_back(grid_axis(counts_along(sizes_of_all, a)));
  }
  grid.axes.push_back(bias ? std::vector<std::int64_t>{1, 2} : std::vector<std::int64_t>{1});
  Eigen::VectorXd values(static_cast<Eigen::Index>(samples.size()));
  Eigen::Index row = 0;
  for (const LayoutSample& s : samples) values(row++) = std::log2(s.measured_us / s.expected_us);
  const Prior prior;
  const Coordinates coordinates(sizes_of_all, grid);
  const GaussianProcess process(Correlations(coordinates.sizes, prior), coordinates.of(samples),
                                values, prior.noise, prior.reweighted);
  const Eigen::VectorXd predicted = process(coordinates.of(grid));
  for (Eigen::Index i = 0; i < predicted.size(); ++i) {
    grid.values.push_back(encode_log2(predicted(i)));
  }
  return grid;
}

LayoutErrors held_out_layout_errors(const std::vector<LayoutSample>& samples) {
  std::vector<LayoutSample> kept, held;
  for (const LayoutSample& s : samples) (fold_of(s.work) == 0 ? held : kept).push_back(s);
  const RatioInterpolator grid(fit_layout(kept, samples));
  std::vector<double> errors;
  LayoutErrors out;
  for (const LayoutSample& s : held) {
    const std::array<std::int64_t, GemmTrainingTable::kAxes> at = {s.work.m, s.work.n, s.work.k,
                                                                   s.work.bias ? 2 : 1};
    errors.push_back(std::abs(s.expected_us * std::exp2(grid.log2_ratio(at)) / s.measured_us - 1));
    out.mean += errors.back() / static_cast<double>(held.size());
  }
  out.products = errors.size();
  if (errors.empty()) return out;
  const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
  std::nth_element(errors.begin(), middle, errors.end());
  out.median = *middle;
  return out;
}

}  // namespace rehearse
