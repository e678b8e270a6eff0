#pragma once

#include <compare>
#include <cstdint>

namespace rehearse {

// A quantity is a number with a unit that the compiler checks. Only operators that mean something
// exist: Bytes / BytesPerSecond -> Seconds, Flops / FlopsPerSecond -> Seconds, and so on. The value
// is always in the SI base unit (bytes, operations, seconds); prefixes belong to text.
template <class Tag, class Rep>
struct Quantity {
  Rep value{};

  constexpr Quantity() = default;
  constexpr explicit Quantity(Rep v) : value(v) {}

  constexpr auto operator<=>(const Quantity&) const = default;
  constexpr Quantity operator+(Quantity o) const { return Quantity(value + o.value); }
  constexpr Quantity operator-(Quantity o) const { return Quantity(value - o.value); }
  constexpr Quantity operator-() const { return Quantity(-value); }
  constexpr Quantity& operator+=(Quantity o) {
    value += o.value;
    return *this;
  }
  constexpr Quantity& operator-=(Quantity o) {
    value -= o.value;
    return *this;
  }
  constexpr Quantity operator*(Rep s) const { return Quantity(value * s); }
  constexpr Quantity operator/(Rep s) const { return Quantity(value / s); }
  friend constexpr Quantity operator*(Rep s, Quantity q) { return q * s; }
};

// Memory and traffic. Whole bytes, so that a peak is exact.
using Bytes = Quantity<struct BytesTag, std::int64_t>;
// Floating-point operations; a multiply-add counts two.
using Flops = Quantity<struct FlopsTag, double>;
using Seconds = Quantity<struct SecondsTag, double>;
using BytesPerSecond = Quantity<struct BytesPerSecondTag, double>;
using FlopsPerSecond = Quantity<struct FlopsPerSecondTag, double>;
using Watts = Quantity<struct WattsTag, double>;

constexpr Seconds operator/(Bytes b, BytesPerSecond r) {
  return Seconds(static_cast<double>(b.value) / r.value);
}
constexpr Seconds operator/(Flops f, FlopsPerSecond r) { return Seconds(f.value / r.value); }
constexpr FlopsPerSecond operator/(Flops f, Seconds s) { return FlopsPerSecond(f.value / s.value); }
constexpr BytesPerSecond operator/(Bytes b, Seconds s) {
  return BytesPerSecond(static_cast<double>(b.value) / s.value);
}
// Dimensionless ratios.
constexpr double ratio(Seconds a, Seconds b) { return a.value / b.value; }
constexpr double ratio(Flops a, Flops b) { return a.value / b.value; }
constexpr double ratio(BytesPerSecond a, BytesPerSecond b) { return a.value / b.value; }
// Arithmetic intensity in FLOP per byte.
constexpr double intensity(Flops f, Bytes b) { return f.value / static_cast<double>(b.value); }

constexpr Seconds max(Seconds a, Seconds b) { return a < b ? b : a; }
constexpr Seconds min(Seconds a, Seconds b) { return b < a ? b : a; }
constexpr BytesPerSecond min(BytesPerSecond a, BytesPerSecond b) { return b < a ? b : a; }
constexpr Watts min(Watts a, Watts b) { return b < a ? b : a; }
constexpr Bytes max(Bytes a, Bytes b) { return a < b ? b : a; }

}  // namespace rehearse
