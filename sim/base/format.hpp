#pragma once

#include <cstdint>
#include <string>

#include "sim/base/quantity.hpp"

namespace rehearse {

// Quantities for people: three or four digits and the prefix that suits, "53.9 GB", "502.9 ms",
// "1.23 us", "450.0 GB/s". Powers of 1000 throughout. Files for machines use SI base units instead.
std::string format_bytes(Bytes b);
std::string format_seconds(Seconds s);
std::string format_rate(BytesPerSecond r);
std::string format_rate(FlopsPerSecond r);
std::string format_flops(Flops f);

// "8,030,261,248".
std::string format_count(std::int64_t n);

}  // namespace rehearse
