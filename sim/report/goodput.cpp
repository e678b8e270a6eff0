#include "sim/report/goodput.hpp"

#include <cmath>

namespace rehearse {

Seconds young_interval(const FailureModel& m) {
  return Seconds(std::sqrt(2 * m.checkpoint.value * m.mean_time_between.value));
}

Seconds best_interval(const FailureModel& m) {
  const double mean = m.mean_time_between.value, delta = m.checkpoint.value / mean;
  // e^(x + delta) (1 - x) falls from e^delta at x = 0 to 0 at x = 1.
  double low = 0, high = 1;
  for (int i = 0; i < 100; ++i) {
    const double x = (low + high) / 2;
    (std::exp(x + delta) * (1 - x) > 1 ? low : high) = x;
  }
  return Seconds((low + high) / 2 * mean);
}

double goodput(const FailureModel& m, Seconds interval) {
  const double mean = m.mean_time_between.value;
  if (interval.value <= 0) return m.checkpoint.value > 0 ? 0 : std::exp(-m.restart.value / mean);
  const double wall =
      mean * std::exp(m.restart.value / mean) * std::expm1((interval + m.checkpoint).value / mean);
  return interval.value / wall;
}

}  // namespace rehearse
