#include <limits>
#include <utility>

#include "calibration/fit/gemm_fit.hpp"

namespace rehearse {

namespace {

constexpr double kOverhead = 3e-6;
constexpr double kAtLeast = 20;  // microseconds

std::vector<GemmFitOptions> tilings() {
  const std::vector<GemmTile> usual = {{256, 128}, {128, 256}, {128, 128}, {128, 64},
                                       {64, 128},  {64, 64},   {64, 256},  {256, 64}};
  const std::vector<GemmTile> large = {{128, 256}, {256, 128}, {128, 128}};
  const std::vector<GemmTile> square = {{128, 128}};
  const std::vector<std::int64_t> whole = {1}, split = {1, 2, 4, 8};
  std::vector<GemmFitOptions> out;
  out.push_back({{{}, whole, 0, 0, kOverhead}, "roofline without tiles", {}});
  for (const double quantised : {1.0, 0.5}) {
    const std::string rounds = quantised < 1 ? ", rounds half quantised" : "";
    out.push_back(
        {{usual, split, 0.25, quantised, kOverhead}, "tiles 64 to 256, split k" + rounds, {}});
    out.push_back({{usual, split, 0.1, quantised, kOverhead},
                   "tiles 64 to 256 of like efficiency, split k" + rounds,
                   {}});
    out.push_back({{large, whole, 0.1, quantised, kOverhead}, "tiles 128 and 256" + rounds, {}});
    out.push_back({{square, whole, 0, quantised, kOverhead}, "tiles 128x128" + rounds, {}});
  }
  return out;
}

// One number of the prior and the values it may take.
struct Knob {
  double GemmPrior::*number;
  std::vector<double> values;
};

std::vector<Knob> knobs() {
  return {
      {&GemmPrior::noise, {0.06, 0.14, 0.25}},    {&GemmPrior::n_effect, {0.05, 0.09, 0.18, 0.3}},
      {&GemmPrior::k_effect, {0.03, 0.09, 0.15}}, {&GemmPrior::smooth, {0.25, 0.45, 0.8}},
      {&GemmPrior::smooth_length, {2, 4, 7}},     {&GemmPrior::effect_length, {1.5, 3, 6}},
      {&GemmPrior::effect_reach, {0.15, 0.4}}};
}

// The error on what `leave_out` picks, fitted to the rest.
template <class Pick>
GemmErrors left_out(const std::vector<GemmSample>& samples, const GemmMachine& machine, DType dtype,
                    const GemmFitOptions& options, Pick leave_out) {
  std::vector<GemmSample> kept, held;
  for (const GemmSample& s : samples) (leave_out(s) ? held : kept).push_back(s);
  const GemmInterpolator model(fit_gemm_grid(kept, machine, dtype, options));
  return gemm_errors(model, machine, dtype, held, kAtLeast);
}

// Median and mean count half each; so do left-out pairs and left-out n.
double score(const std::vector<GemmSample>& samples, const GemmMachine& machine, DType dtype,
             const GemmFitOptions& options) {
  const auto pairs = left_out(samples, machine, dtype, options,
                              [](const GemmSample& s) { return gemm_fold(s) == 1; });
  const auto odd = left_out(samples, machine, dtype, options, [](const GemmSample& s) {
    return s.n == 1536 || s.n == 3584 || s.n == 7168 || s.n == 12288;
  });
  const auto even = left_out(samples, machine, dtype, options, [](const GemmSample& s) {
    return s.n == 2560 || s.n == 5120 || s.n == 10240;
  });
  return pairs.median + pairs.mean + (odd.median + odd.mean + even.median + even.mean) / 2;
}

}  // namespace

GemmFitOptions choose_gemm_options(const std::vector<GemmSample>& samples,
                                   const GemmMachine& machine, DType dtype) {
  // A choice needs no small m, where every yardstick is the memory's, and not every large one.
  constexpr std::int64_t kSmallest = 128;
  std::vector<GemmSample> some;
  for (const GemmSample& s : samples) {
    const bool kept = s.m >= 8192 || s.m % 512 == 0 || s.m == 129 || s.m == 1281 || s.m == 3329;
    if (gemm_fold(s) != 0 && s.m >= kSmallest && kept) some.push_back(s);
  }
  GemmFitOptions best;
  double least = std::numeric_limits<double>::infinity();
  const auto consider = [&](const GemmFitOptions& options) {
    const double s = score(some, machine, dtype, options);
    if (s < least) {
      least = s;
      best = options;
    }
  };
  for (const GemmFitOptions& options : tilings()) consider(options);
  for (const int reweighted : {2, 4, 8}) {
    GemmFitOptions options = best;
    options.prior.reweighted = reweighted;
    consider(options);
  }
  for (const Knob& knob : knobs()) {
    const GemmFitOptions before = best;
    for (const double value : knob.values) {
      GemmFitOptions options = before;
      options.prior.*knob.number = value;
      consider(options);
    }
  }
  return best;
}

}  // namespace rehearse
