#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>

namespace rehearse {

// Work under a rate, in exact integer arithmetic.
//
// Model. A rate is a whole number of parts per billion, so every rate of up to nine decimals is
// exact (0.9 is 900'000'000; a binary denominator would miss it). Work is counted in picoseconds at
// full rate, kept as whole picoseconds plus billionths of one. In `elapsed` ps a task at rate r
// does
//
//     elapsed * r / 10^9   ps of work,
//
// which is a whole number of billionths: progress is never rounded, however often the rate changes.
// The one rounding is at the end: a task is done at the first whole picosecond at which its work
// is, i.e. the time left is rounded up. So an end is late by less than 1 ps, for any history.
//
// Products stay within 64 bits because they are split at 10^9:
//     elapsed * r  =  (elapsed / 10^9) * r  [whole]  +  (elapsed % 10^9) * r  [billionths].
using RateParts = std::uint32_t;
inline constexpr RateParts kFullRate = 1'000'000'000;

// Rounds to nearest; at least one part. Precondition: 0 < rate <= 1.
inline RateParts to_rate_parts(double rate) {
  const auto parts = static_cast<RateParts>(std::lround(rate * kFullRate));
  return parts == 0 ? 1 : parts;
}

struct Work {
  std::int64_t whole_ps = 0;
  std::int64_t billionths = 0;  // of a picosecond, in [0, 10^9)

  // Takes off what was done. Precondition: no more than is left.
  void advance(std::int64_t elapsed_ps, RateParts rate) {
    const std::int64_t rest = (elapsed_ps % kFullRate) * rate;
    whole_ps -= (elapsed_ps / kFullRate) * rate + rest / kFullRate;
    billionths -= rest % kFullRate;
    if (billionths < 0) {
      billionths += kFullRate;
      --whole_ps;
    }
  }

  // ceil(work / rate).
  std::int64_t time_left(RateParts rate) const {
    const std::int64_t quotient = whole_ps / rate;
    const std::int64_t rest = (whole_ps % rate) * kFullRate + billionths;
    const std::int64_t rest_time = (rest + rate - 1) / rate;
    std::int64_t time = 0;
    if (__builtin_mul_overflow(quotient, std::int64_t{kFullRate}, &time) ||
        __builtin_add_overflow(time, rest_time, &time)) {
      throw std::overflow_error("simulated time passes 106 days");
    }
    return time;
  }
};

}  // namespace rehearse
