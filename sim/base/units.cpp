#include "sim/base/units.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <span>
#include <system_error>
#include <utility>

namespace rehearse {
namespace {

struct Unit {
  std::string_view name;
  double scale;
};

// What a kind of quantity is called in messages, and the units that it takes after a prefix.
struct Dimension {
  std::string_view expected;
  std::span<const Unit> units;
  bool prefixes;
  bool may_be_infinite;
};

constexpr std::array<Unit, 13> kPrefixes{{{"", 1},
                                          {"Ki", 1024},
                                          {"Mi", 1048576},
                                          {"Gi", 1073741824},
                                          {"Ti", 1099511627776},
                                          {"Pi", 1125899906842624},
                                          {"k", 1e3},
                                          {"K", 1e3},
                                          {"M", 1e6},
                                          {"G", 1e9},
                                          {"T", 1e12},
                                          {"P", 1e15},
                                          {"E", 1e18}}};
constexpr std::array<Unit, 1> kSizeUnits{{{"B", 1}}};
constexpr std::array<Unit, 5> kBandwidthUnits{
    {{"B/s", 1}, {"b/s", 0.125}, {"bit/s", 0.125}, {"Bps", 1}, {"bps", 0.125}}};
constexpr std::array<Unit, 4> kFlopsUnits{
    {{"FLOP/s", 1}, {"FLOPS", 1}, {"FLOPs/s", 1}, {"FLOPs", 1}}};
// Both code points that look like mu.
constexpr std::array<Unit, 10> kTimeUnits{{{"s", 1},
                                           {"min", 60},
                                           {"h", 3600},
                                           {"days", 86400},
                                           {"ms", 1e-3},
                                           {"us", 1e-6},
                                           {"\u00b5s", 1e-6},
                                           {"\u03bcs", 1e-6},
                                           {"ns", 1e-9},
                                           {"ps", 1e-12}}};

constexpr Dimension kSize{"a size such as '25 MiB' or '141 GB'", kSizeUnits, true, false};
constexpr Dimension kTime{"a time such as '3 us' or '1.5 ms'", kTimeUnits, false, false};
constexpr Dimension kBandwidth{"a bandwidth such as '900 GB/s' or '400 Gb/s'", kBandwidthUnits,
                               true, true};
constexpr std::array<Unit, 1> kPowerUnits{{{"W", 1}}};
constexpr Dimension kPower{"a power such as '700 W'", kPowerUnits, true, false};
constexpr std::array<Unit, 5> kCountUnits{
    {{"", 1}, {"k", 1e3}, {"M", 1e6}, {"B", 1e9}, {"T", 1e12}}};
constexpr Dimension kCount{"a number such as '15T' or '300B'", kCountUnits, false, false};
constexpr Dimension kFlops{"a rate such as '989 TFLOP/s'", kFlopsUnits, true, true};

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

std::optional<double> scale_of(std::string_view unit, const Dimension& d) {
  for (const Unit& u : d.units) {
    if (!unit.ends_with(u.name)) continue;
    const std::string_view prefix = unit.substr(0, unit.size() - u.name.size());
    if (!d.prefixes) {
      if (prefix.empty()) return u.scale;
      continue;
    }
    for (const Unit& p : kPrefixes) {
      if (p.name == prefix) return p.scale * u.scale;
    }
  }
  return std::nullopt;
}

// Why a unit is wrong, where that can be told; else empty.
std::string reason(std::string_view unit, const Dimension& d) {
  if (unit.empty()) return "it has no unit";
  for (const Dimension& other : {kSize, kTime, kBandwidth, kFlops, kPower}) {
    if (other.expected != d.expected && scale_of(unit, other)) {
      return "that is " + std::string(other.expected.substr(0, other.expected.find(" such")));
    }
  }
  if (d.expected == kSize.expected && unit.ends_with('b') &&
      scale_of(std::string(unit.substr(0, unit.size() - 1)) + "B", d)) {
    return "b is bits, B is bytes";
  }
  std::string upper(unit);
  if (upper[0] >= 'a' && upper[0] <= 'z') upper[0] = static_cast<char>(upper[0] - 'a' + 'A');
  for (std::size_t i = 1; i < upper.size(); ++i) {
    if (upper[i] == 'b') upper[i] = 'B';
  }
  if (scale_of(upper, d)) return "upper and lower case differ in units";
  return "unknown unit '" + std::string(unit) + "'";
}

[[noreturn]] void refuse(std::string_view text, const Dimension& d, const std::string& why) {
  std::string message = "expected " + std::string(d.expected) + ", got '" + std::string(text) + "'";
  if (!why.empty()) message += ": " + why;
  throw UnitError(message);
}

// The leading number of `s`, which is moved past it.
std::optional<double> take_number(std::string_view& s) {
  std::string_view digits = s;
  const bool signed_plus = digits.starts_with('+');
  if (signed_plus) digits.remove_prefix(1);
  if (digits.starts_with(".inf")) digits.remove_prefix(1);
  double value = 0;
  const char* last = digits.data() + digits.size();
  const auto [end, status] = std::from_chars(digits.data(), last, value);
  if (status != std::errc() || std::isnan(value) || (signed_plus && digits.starts_with('-'))) {
    return std::nullopt;
  }
  s = std::string_view(end, static_cast<std::size_t>(last - end));
  return value;
}

double parse(std::string_view text, const Dimension& d) {
  std::string_view rest = trimmed(text);
  const std::optional<double> number = take_number(rest);
  if (!number) refuse(text, d, "");
  if (*number < 0) refuse(text, d, "it is negative");
  const std::string_view unit = trimmed(rest);
  if (std::isinf(*number) && !d.may_be_infinite) refuse(text, d, "it must be finite");
  if (unit.empty() && (*number == 0 || std::isinf(*number))) return *number;
  const std::optional<double> scale = scale_of(unit, d);
  if (!scale) refuse(text, d, reason(unit, d));
  // Fractions of a second divide: 3 / 1e6 is the double nearest to 3 us, 3 * 1e-6 is not.
  if (*scale < 1) return *number / std::round(1 / *scale);
  return *number * *scale;
}

}  // namespace

Bytes parse_bytes(std::string_view text) {
  const double bytes = std::round(parse(text, kSize));
  if (bytes >= 9223372036854775808.0) refuse(text, kSize, "it is too large");
  return Bytes(static_cast<std::int64_t>(bytes));
}

Seconds parse_seconds(std::string_view text) { return Seconds(parse(text, kTime)); }

BytesPerSecond parse_bandwidth(std::string_view text) {
  return BytesPerSecond(parse(text, kBandwidth));
}

FlopsPerSecond parse_flops_per_second(std::string_view text) {
  return FlopsPerSecond(parse(text, kFlops));
}

Watts parse_power(std::string_view text) { return Watts(parse(text, kPower)); }

double parse_quantity(std::string_view text) { return parse(text, kCount); }

std::optional<double> parse_number(std::string_view text) {
  std::string_view rest = text;
  const std::optional<double> value = take_number(rest);
  if (!value || !rest.empty()) return std::nullopt;
  return value;
}

}  // namespace rehearse
