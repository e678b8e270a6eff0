#include "sim/base/format.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

namespace rehearse {
namespace {

constexpr std::array<std::string_view, 7> kLarge{"", "k", "M", "G", "T", "P", "E"};
constexpr std::array<std::string_view, 5> kSmall{"p", "n", "u", "m", ""};

// Three significant digits or one decimal: 1.23, 12.3, 123.4.
std::string digits(double x) {
  return std::abs(x) < 9.995 ? fmt::format("{:.2f}", x) : fmt::format("{:.1f}", x);
}

// `x` counts units of prefixes[0].
std::string with_prefix(double x, std::span<const std::string_view> prefixes,
                        std::string_view unit) {
  if (std::isnan(x)) return fmt::format("nan {}", unit);
  if (std::isinf(x)) return fmt::format("{}inf {}", x < 0 ? "-" : "", unit);
  std::size_t i = 0;
  // 999.96 would print as 1000.0.
  while (std::abs(x) >= 999.95 && i + 1 < prefixes.size()) {
    x /= 1000;
    ++i;
  }
  return fmt::format("{} {}{}", digits(x), prefixes[i], unit);
}

}  // namespace

std::string format_bytes(Bytes b) {
  if (b.value > -1000 && b.value < 1000) return fmt::format("{} B", b.value);
  return with_prefix(static_cast<double>(b.value), kLarge, "B");
}

std::string format_seconds(Seconds s) {
  if (s.value == 0) return "0 s";
  return with_prefix(s.value * 1e12, kSmall, "s");
}

std::string format_rate(BytesPerSecond r) { return with_prefix(r.value, kLarge, "B/s"); }
std::string format_rate(FlopsPerSecond r) { return with_prefix(r.value, kLarge, "FLOP/s"); }
std::string format_flops(Flops f) { return with_prefix(f.value, kLarge, "FLOP"); }

std::string format_count(std::int64_t n) {
  std::string s = fmt::format("{}", n);
  const std::size_t first = n < 0 ? 1 : 0;
  for (std::size_t i = s.size(); i > first + 3;) {
    i -= 3;
    s.insert(i, 1, ',');
  }
  return s;
}

}  // namespace rehearse
