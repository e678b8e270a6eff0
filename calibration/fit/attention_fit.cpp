#include "calibration/fit/attention_fit.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <stdexcept>

#include "calibration/fit/csv.hpp"
#include "calibration/fit/gaussian_process.hpp"
#include "calibration/fit/results.hpp"
#include "hardware/table_bytes.hpp"

namespace rehearse {

namespace {

constexpr double kOverhead = 10e-6;  // of the yardstick; the smallest launches take 15 to 20 us
// The prior, in log2: how far efficiency strays, within how many octaves, and how well times
// repeat.
constexpr double kDeviation = 0.45;
constexpr double kLength[] = {4, 4, 4, 3};  // batch, heads, key heads, length
constexpr double kNoise = 0.045;

double log2_of(std::int64_t v) { return std::log2(static_cast<double>(v)); }

double correlation(const double* a, const double* b) {
  double product = kDeviation * kDeviation;
  for (std::size_t i = 0; i < std::size(kLength); ++i) {
    const double r = std::sqrt(3.0) * std::abs(a[i] - b[i]) / kLength[i];
    product *= (1 + r) * std::exp(-r);
  }
  return product;
}

GaussianProcess::Points points_of(const std::vector<AttentionWork>& works) {
  GaussianProcess::Points points(static_cast<Eigen::Index>(works.size()), 4);
  for (std::size_t i = 0; i < works.size(); ++i) {
    const AttentionWork& w = works[i];
    points.row(static_cast<Eigen::Index>(i)) << log2_of(w.batch), log2_of(w.heads),
        log2_of(w.kv_heads), log2_of(w.length);
  }
  return points;
}

// Every cell of one head size, in the grid's order. Groups that are larger than the heads keep a
// fraction of a key head: the cell only serves interpolation.
GaussianProcess::Points cells_of(const AttentionGrid& grid) {
  const auto& [sizes, batches, heads, groups, lengths] = grid.axes;
  const std::size_t count = grid.cells() / sizes.size();
  GaussianProcess::Points points(static_cast<Eigen::Index>(count), 4);
  Eigen::Index row = 0;
  for (const std::int64_t b : batches) {
    for (const std::int64_t h : heads) {
      for (const std::int64_t g : groups) {
        for (const std::int64_t s : lengths) {
          const double key_heads = std::max(0.0, log2_of(h) - log2_of(g));
          points.row(row++) << log2_of(b), log2_of(h), key_heads, log2_of(s);
        }
      }
    }
  }
  return points;
}

// Samples of one head size to the grid's values of it.
void fit_head_size(AttentionGrid& grid, std::size_t index,
                   const std::vector<AttentionSample>& samples, const AttentionMachine& machine) {
  std::vector<AttentionWork> works;
  Eigen::VectorXd values(static_cast<Eigen::Index>(samples.size()));
  for (std::size_t i = 0; i < samples.size(); ++i) {
    works.push_back(samples[i].work);
    const double expected = attention_yardstick(machine, works[i], grid.overhead_s, 1);
    values(static_cast<Eigen::Index>(i)) = std::log2(samples[i].microseconds * 1e-6 / expected);
  }
  const double mean = values.mean();
  const GaussianProcess process(correlation, points_of(works), values.array() - mean, kNoise);
  const Eigen::VectorXd predicted = process(cells_of(grid)).array() + mean;
  const std::size_t first = index * static_cast<std::size_t>(predicted.size());
  for (Eigen::Index i = 0; i < predicted.size(); ++i) {
    grid.values[first + static_cast<std::size_t>(i)] = encode_log2(predicted(i));
  }
}

std::vector<std::int64_t> sorted(const std::set<std::int64_t>& values) {
  return {values.begin(), values.end()};
}

}  // namespace

std::vector<AttentionSample> read_attention_samples(const std::string& path) {
  const NumberTable table = read_numbers(path);
  const auto column = [&](const char* name) { return table.column(name); };
  const std::size_t batch = column("batch"), heads = column("heads"), kv = column("kv_heads");
  const std::size_t length = column("length"), size = column("head_size");
  const std::size_t time = column("microseconds");
  std::vector<AttentionSample> samples;
  for (const auto& row : table.rows) {
    if (!(row[time] > 0)) throw std::runtime_error(path + ": a time is not positive");
    AttentionSample s;
    s.work.batch = std::llround(row[batch]);
    s.work.heads = std::llround(row[heads]);
    s.work.kv_heads = std::llround(row[kv]);
    s.work.length = s.work.kv_length = std::llround(row[length]);
    s.work.head_size = std::llround(row[size]);
    s.microseconds = row[time];
    samples.push_back(s);
  }
  return samples;
}

std::vector<AttentionSample> measured_attention(const std::string& path,
                                                AttentionDirection direction, DType dtype) {
  const bool backward = direction == AttentionDirection::kBackward;
  std::vector<AttentionSample> samples;
  for (const MeasuredCall& call : read_calls(path)) {
    if (call.dtype != to_string(dtype) || call.direction != (backward ? "backward" : "forward"))
      continue;
    if (dtype == DType::kFp32 && call.number("heads") != call.number("kv_heads")) continue;
    AttentionSample s;
    s.work.dtype = dtype;
    s.work.batch = call.number("batch");
    s.work.heads = call.number("heads");
    s.work.kv_heads = call.number("kv_heads");
    s.work.length = s.work.kv_length = call.number("length");
    s.work.head_size = call.number("head_size");
    s.work.direction = direction;
    s.microseconds = call.microseconds;
    samples.push_back(s);
  }
  return samples;
}

AttentionGrid fit_attention_grid(const std::vector<AttentionSample>& samples,
                                 const AttentionMachine& machine) {
  AttentionGrid grid;
  grid.overhead_s = kOverhead;
  std::set<std::int64_t> batches, heads, lengths;
  std::map<std::int64_t, std::vector<AttentionSample>> by_size;
  std::int64_t most_heads = 1;
  for (const AttentionSample& s : samples) {
    batches.insert(s.work.batch);
    heads.insert(s.work.heads);
    lengths.insert(s.work.length);
    most_heads = std::max(most_heads, s.work.heads);
    by_size[s.work.head_size].push_back(s);
  }
  std::set<std::int64_t> sizes, groups;
  for (const auto& [size, of_size] : by_size) sizes.insert(size);
  for (std::int64_t g = 1; g <= most_heads; g *= 2) groups.insert(g);
  grid.axes = {sorted(sizes), sorted(batches), sorted(heads), sorted(groups), sorted(lengths)};
  grid.values.resize(grid.cells());
  std::size_t index = 0;
  for (const auto& [size, of_size] : by_size) fit_head_size(grid, index++, of_size, machine);
  return grid;
}

AttentionErrors attention_errors(const AttentionInterpolator& model,
                                 const AttentionMachine& machine,
                                 const std::vector<AttentionSample>& samples) {
  AttentionErrors out;
  std::vector<double> errors;
  for (const AttentionSample& s : samples) {
    const double predicted =
        attention_yardstick(machine, s.work, model.grid().overhead_s, 1) * model.ratio(s.work);
    errors.push_back(std::abs(predicted * 1e6 / s.microseconds - 1));
    out.mean += errors.back();
  }
  out.kernels = errors.size();
  if (errors.empty()) return out;
  out.mean /= static_cast<double>(errors.size());
  const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
  std::nth_element(errors.begin(), middle, errors.end());
  out.median = *middle;
  return out;
}

int attention_fold(const AttentionSample& sample) {
  const AttentionWork& w = sample.work;
  std::uint64_t hash = 0;
  for (const std::int64_t v : {w.batch, w.heads, w.kv_heads, w.length, w.head_size}) {
    hash = (hash ^ static_cast<std::uint64_t>(v)) * 0x9E3779B97F4A7C15U;
    hash ^= hash >> 29U;
  }
  return static_cast<int>((hash >> 40U) % 5U);
}

AttentionErrors held_out_attention_errors(const std::vector<AttentionSample>& samples,
                                          const AttentionMachine& machine) {
  std::vector<AttentionSample> kept, held;
  for (const AttentionSample& s : samples) (attention_fold(s) == 0 ? held : kept).push_back(s);
  const AttentionInterpolator model(fit_attention_grid(kept, machine));
  return attention_errors(model, machine, held);
}

}  // namespace rehearse
