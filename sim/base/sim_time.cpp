#include "sim/base/sim_time.hpp"

#include <cmath>
#include <stdexcept>

namespace rehearse {

SimTime to_sim_time(Seconds s) {
  if (!std::isfinite(s.value) || s.value < 0) {
    throw std::overflow_error("a simulated time must be finite and not negative");
  }
  const double ps = std::round(s.value * 1e12);
  // 2^63 is exact as a double; everything below it fits.
  constexpr double kLimit = 9223372036854775808.0;
  if (ps >= kLimit) {
    throw std::overflow_error("a simulated time is longer than 106 days");
  }
  // Work that costs anything must move the clock, or order would be lost.
  if (ps < 1 && s.value > 0) return SimTime(1);
  return SimTime(static_cast<std::int64_t>(ps));
}

}  // namespace rehearse
