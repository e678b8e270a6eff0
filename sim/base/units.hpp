#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "sim/base/quantity.hpp"

namespace rehearse {

// Quantities as text. A number and its unit, with or without a space: "900 GB/s", "25MiB", "3 us".
// Prefixes k M G T P E are powers of 1000, Ki Mi Gi Ti Pi powers of 1024. B is bytes and b is bits
// (8 b = 1 B); bits are only for bandwidths. A number without a unit is refused, 0 excepted:
// nobody can tell whether 900 meant GB/s. Rates may be "inf"; sizes and times may not.

// The message says what was expected and what was given.
class UnitError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

Bytes parse_bytes(std::string_view text);                      // "25 MiB", "141 GB"
Seconds parse_seconds(std::string_view text);                  // "3 us", "1.5 ms"
BytesPerSecond parse_bandwidth(std::string_view text);         // "900 GB/s", "400 Gb/s"
FlopsPerSecond parse_flops_per_second(std::string_view text);  // "989 TFLOP/s", "989 TFLOPS"
Watts parse_power(std::string_view text);                      // "700 W", "1.4 kW"
// A number of things, plain or in thousands, millions, billions, trillions: "15T", "300B", "2e12".
double parse_quantity(std::string_view text);

// A whole text as a number ("12", "-0.5", "1e9", "inf"), else nothing. No unit, no spaces.
std::optional<double> parse_number(std::string_view text);

}  // namespace rehearse
