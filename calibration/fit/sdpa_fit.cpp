#include "calibration/fit/sdpa_fit.hpp"

#include <array>
#include <cmath>
#include <set>

#include "calibration/fit/gaussian_process.hpp"
#include "hardware/table_bytes.hpp"

namespace rehearse {

namespace {

constexpr double kOverhead = 3e-6;  // of the yardstick
// The prior, in log2, with lengths in octaves of batch, heads, group, length, head size; chosen by
// left-out shapes on the H200.
constexpr std::array<double, 5> kLengths = {6, 6, 4, 4, 1};
constexpr double kDeviation = 0.4;
constexpr double kRounds = 0.1;
constexpr double kRoundsReach = 0.7;  // octaves of batch x heads
constexpr double kRoundsLength = 2;   // octaves of length
constexpr double kNoise = 0.02;

double log2_of(std::int64_t v) { return std::log2(static_cast<double>(v)); }

double smooth_correlation(double distance, double length) {
  const double r = std::sqrt(3.0) * std::abs(distance) / length;
  return (1 + r) * std::exp(-r);
}

double correlation(const double* a, const double* b) {
  std::array<double, 5> d{}, c{};
  for (std::size_t i = 0; i < d.size(); ++i) {
    d[i] = a[i] - b[i];
    c[i] = smooth_correlation(d[i], kLengths[i]);
  }
  const double rounds = smooth_correlation(d[0] + d[1], kRoundsReach) * c[2] *
                        smooth_correlation(d[3], kRoundsLength) * c[4];
  return kDeviation * kDeviation * c[0] * c[1] * c[2] * c[3] * c[4] + kRounds * kRounds * rounds;
}

GaussianProcess::Points points_of(const std::vector<AttentionSample>& samples) {
  GaussianProcess::Points points(static_cast<Eigen::Index>(samples.size()), 5);
  Eigen::Index row = 0;
  for (const AttentionSample& s : samples) {
    const AttentionWork& w = s.work;
    points.row(row++) << log2_of(w.batch), log2_of(w.heads), log2_of(w.heads) - log2_of(w.kv_heads),
        log2_of(w.length), log2_of(w.head_size);
  }
  return points;
}

GaussianProcess::Points cells_of(const AttentionGrid& grid) {
  GaussianProcess::Points points(static_cast<Eigen::Index>(grid.cells()), 5);
  Eigen::Index row = 0;
  const auto& [sizes, batches, heads, groups, lengths] = grid.axes;
  for (const std::int64_t d : sizes) {
    for (const std::int64_t b : batches) {
      for (const std::int64_t h : heads) {
        for (const std::int64_t g : groups) {
          for (const std::int64_t s : lengths) {
            points.row(row++) << log2_of(b), log2_of(h), log2_of(g), log2_of(s), log2_of(d);
          }
        }
      }
    }
  }
  return points;
}

AttentionGrid empty_grid(const std::vector<AttentionSample>& samples) {
  std::array<std::set<std::int64_t>, AttentionGrid::kAxes> found;
  for (const AttentionSample& s : samples) {
    const AttentionWork& w = s.work;
    const std::array<std::int64_t, AttentionGrid::kAxes> at = {w.head_size, w.batch, w.heads,
                                                               w.heads / w.kv_heads, w.length};
    for (std::size_t a = 0; a < at.size(); ++a) found[a].insert(at[a]);
  }
  AttentionGrid grid;
  grid.overhead_s = kOverhead;
  for (std::size_t a = 0; a < found.size(); ++a)
    grid.axes[a].assign(found[a].begin(), found[a].end());
  return grid;
}

AttentionGrid fit_over(const std::vector<AttentionSample>& samples,
                       const std::vector<AttentionSample>& all, const AttentionMachine& machine) {
  AttentionGrid grid = empty_grid(all);
  Eigen::VectorXd values(static_cast<Eigen::Index>(samples.size()));
  Eigen::Index row = 0;
  for (const AttentionSample& s : samples) {
    const double expected = attention_yardstick(machine, s.work, grid.overhead_s, 1);
    values(row++) = std::log2(s.microseconds * 1e-6 / expected);
  }
  const double mean = values.mean();
  const GaussianProcess process(correlation, points_of(samples), values.array() - mean, kNoise);
  const Eigen::VectorXd predicted = process(cells_of(grid)).array() + mean;
  for (Eigen::Index i = 0; i < predicted.size(); ++i) {
    grid.values.push_back(encode_log2(predicted(i)));
  }
  return grid;
}

}  // namespace

AttentionGrid fit_sdpa_grid(const std::vector<AttentionSample>& samples,
                            const AttentionMachine& machine) {
  return fit_over(samples, samples, machine);
}

AttentionErrors held_out_sdpa_errors(const std::vector<AttentionSample>& samples,
                                     const AttentionMachine& machine) {
  std::vector<AttentionSample> kept, held;
  for (const AttentionSample& s : samples) (attention_fold(s) == 0 ? held : kept).push_back(s);
  const AttentionInterpolator model(fit_over(kept, samples, machine));
  return attention_errors(model, machine, held);
}

}  // namespace rehearse
