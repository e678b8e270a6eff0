#include "sim/report/trials.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace rehearse {
namespace {

// The 97.5 % quantile of Student's t.
double student_t(std::size_t degrees) {
  constexpr std::array kSmall{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365,
                              2.306,  2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
                              2.131,  2.120, 2.110, 2.101, 2.093, 2.086};
  if (degrees <= kSmall.size()) return kSmall[degrees - 1];
  // Cornish and Fisher's expansion about the normal quantile; exact to three digits from here on.
  const double z = 1.959964, n = static_cast<double>(degrees);
  return z + (z * z * z + z) / (4 * n) +
         (5 * std::pow(z, 5) + 16 * std::pow(z, 3) + 3 * z) / (96 * n * n);
}

}  // namespace

Trials summarise_trials(std::vector<Seconds> step_times) {
  Trials t;
  t.step_times = std::move(step_times);
  const auto n = static_cast<double>(t.step_times.size());
  double sum = 0, squares = 0;
  for (const Seconds s : t.step_times) sum += s.value;
  const double mean = sum / n;
  for (const Seconds s : t.step_times) squares += (s.value - mean) * (s.value - mean);
  const auto [least, most] = std::minmax_element(t.step_times.begin(), t.step_times.end());
  t.least = *least;
  t.most = *most;
  t.mean = t.interval_low = t.interval_high = Seconds(mean);
  if (t.step_times.size() < 2) return t;
  t.deviation = Seconds(std::sqrt(squares / (n - 1)));
  const Seconds half = t.deviation * (student_t(t.step_times.size() - 1) / std::sqrt(n));
  t.interval_low = t.mean - half;
  t.interval_high = t.mean + half;
  return t;
}

}  // namespace rehearse
