#include "calibration/fit/gemm_fit.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <stdexcept>

#include "calibration/fit/csv.hpp"
#include "calibration/fit/gaussian_process.hpp"
#include "hardware/table_bytes.hpp"

namespace rehearse {

namespace {

double as_double(std::int64_t v) { return static_cast<double>(v); }

GemmWork work_of(const GemmSample& s, DType dtype) {
  GemmWork w;
  w.m = s.m;
  w.n = s.n;
  w.k = s.k;
  w.dtype = dtype;
  return w;
}

// Matern, nu = 3/2.
double smooth_correlation(double distance, double length) {
  const double r = std::sqrt(3.0) * std::abs(distance) / length;
  return (1 + r) * std::exp(-r);
}

GaussianProcess::Kernel kernel_of(const GemmPrior& p) {
  return [p](const double* a, const double* b) {
    constexpr double kSame = 1e-9;
    const double dn = std::abs(a[0] - b[0]), dk = std::abs(a[1] - b[1]);
    double sum = p.constant * p.constant + p.smooth * p.smooth *
                                               smooth_correlation(dn, p.smooth_length) *
                                               smooth_correlation(dk, p.smooth_length);
    const double cut = 8 * p.effect_reach;  // beyond, an effect is gone
    if (dn < cut) {
      sum += p.n_effect * p.n_effect * std::exp(-dn / p.effect_reach) *
             smooth_correlation(dk, p.effect_length);
    }
    if (dk < cut) {
      sum += p.k_effect * p.k_effect * std::exp(-dk / p.effect_reach) *
             smooth_correlation(dn, p.effect_length);
    }
    if (dn < kSame && dk < kSame) sum += p.pair_effect * p.pair_effect;
    return sum;
  };
}

std::vector<std::int64_t> coordinates(const std::vector<GemmSample>& samples,
                                      std::int64_t GemmSample::*member) {
  std::set<std::int64_t> found;
  for (const GemmSample& s : samples) found.insert(s.*member);
  return {found.begin(), found.end()};
}

GaussianProcess::Points points_of(const std::vector<GemmSample>& samples) {
  GaussianProcess::Points points(static_cast<Eigen::Index>(samples.size()), 2);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const auto row = static_cast<Eigen::Index>(i);
    points(row, 0) = std::log2(as_double(samples[i].n));
    points(row, 1) = std::log2(as_double(samples[i].k));
  }
  return points;
}

// One m: its samples to values at every (n, k) of the grid.
void fit_row(GemmGrid& grid, std::size_t im, const std::vector<GemmSample>& samples,
             const GemmMachine& machine, DType dtype, const GemmPrior& prior) {
  const GemmYardstick yardstick(grid.tiling);
  Eigen::VectorXd values(static_cast<Eigen::Index>(samples.size()));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const double expected = yardstick(machine, work_of(samples[i], dtype)).total();
    values(static_cast<Eigen::Index>(i)) = std::log2(samples[i].microseconds * 1e-6 / expected);
  }
  const double mean = values.mean();
  const GaussianProcess process(kernel_of(prior), points_of(samples), values.array() - mean,
                                prior.noise, prior.reweighted);
  std::vector<GemmSample> cells;
  for (const std::int64_t n : grid.n) {
    for (const std::int64_t k : grid.k) cells.push_back({grid.m[im], n, k, 0});
  }
  const Eigen::VectorXd predicted = process(points_of(cells)).array() + mean;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    grid.values[grid.index(im, 0, 0) + i] = encode_log2(predicted(static_cast<Eigen::Index>(i)));
  }
}

}  // namespace

std::vector<GemmSample> read_gemm_samples(const std::string& path) {
  const NumberTable table = read_numbers(path);
  const std::size_t m = table.column("m"), n = table.column("n"), k = table.column("k");
  const std::size_t time = table.column("microseconds");
  std::vector<GemmSample> samples;
  for (const auto& row : table.rows) {
    if (!(row[time] > 0)) throw std::runtime_error(path + ": a time is not positive");
    samples.push_back(
        {std::llround(row[m]), std::llround(row[n]), std::llround(row[k]), row[time]});
  }
  return samples;
}

GemmGrid fit_gemm_grid(const std::vector<GemmSample>& samples, const GemmMachine& machine,
                       DType dtype, const GemmFitOptions& options) {
  GemmGrid grid;
  grid.tiling = options.tiling;
  grid.m = coordinates(samples, &GemmSample::m);
  grid.n = coordinates(samples, &GemmSample::n);
  grid.k = coordinates(samples, &GemmSample::k);
  grid.values.resize(grid.m.size() * grid.n.size() * grid.k.size());
  std::map<std::int64_t, std::vector<GemmSample>> by_m;
  for (const GemmSample& s : samples) by_m[s.m].push_back(s);
  for (std::size_t im = 0; im < grid.m.size(); ++im) {
    fit_row(grid, im, by_m.at(grid.m[im]), machine, dtype, options.prior);
  }
  return grid;
}

GemmErrors gemm_errors(const GemmInterpolator& model, const GemmMachine& machine, DType dtype,
                       const std::vector<GemmSample>& samples, double at_least_us) {
  std::vector<double> errors;
  for (const GemmSample& s : samples) {
    if (s.microseconds < at_least_us) continue;
    const double predicted = model(machine, work_of(s, dtype)).total() * 1e6;
    errors.push_back(std::abs(predicted / s.microseconds - 1));
  }
  GemmErrors out;
  out.products = errors.size();
  if (errors.empty()) return out;
  for (const double e : errors) out.mean += e / as_double(static_cast<std::int64_t>(errors.size()));
  const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
  std::nth_element(errors.begin(), middle, errors.end());
  out.median = *middle;
  return out;
}

int gemm_fold(const GemmSample& sample) {
  // Knuth's multiplicative hash of the pair; its high bits are the mixed ones.
  const auto pair =
      static_cast<std::uint64_t>(sample.n) * 1000003U + static_cast<std::uint64_t>(sample.k);
  return static_cast<int>(((pair * 0x9E3779B97F4A7C15U) >> 40U) % 5U);
}

GemmErrors held_out_gemm_errors(const std::vector<GemmSample>& samples, const GemmMachine& machine,
                                DType dtype, const GemmFitOptions& options) {
  constexpr double kAtLeast = 20;
  std::vector<GemmSample> kept, held;
  for (const GemmSample& s : samples) (gemm_fold(s) == 0 ? held : kept).push_back(s);
  const GemmInterpolator model(fit_gemm_grid(kept, machine, dtype, options));
  return gemm_errors(model, machine, dtype, held, kAtLeast);
}

}  // namespace rehearse
