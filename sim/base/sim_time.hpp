#pragma once

#include <compare>
#include <cstdint>

#include "sim/base/quantity.hpp"

namespace rehearse {

// Simulated time: int64 picoseconds (106 days). Sums are exact, so results do not depend on the
// order of additions; rounding happens once, in `to_sim_time`.
struct SimTime {
  std::int64_t ps = 0;

  constexpr SimTime() = default;
  constexpr explicit SimTime(std::int64_t picoseconds) : ps(picoseconds) {}
  constexpr auto operator<=>(const SimTime&) const = default;
  constexpr SimTime operator+(SimTime o) const { return SimTime(ps + o.ps); }
  constexpr SimTime operator-(SimTime o) const { return SimTime(ps - o.ps); }
  constexpr SimTime& operator+=(SimTime o) {
    ps += o.ps;
    return *this;
  }
  constexpr Seconds seconds() const { return Seconds(static_cast<double>(ps) * 1e-12); }
};

// Rounds to the nearest picosecond; positive work takes at least one. Throws std::overflow_error
// when the time is negative, not finite, or past the representable range.
SimTime to_sim_time(Seconds s);

}  // namespace rehearse
