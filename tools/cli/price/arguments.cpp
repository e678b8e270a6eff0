#include "tools/cli/price/arguments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "sim/base/suggest.hpp"
#include "sim/base/units.hpp"

namespace rehearse {

void PriceArguments::set(const std::string& key, std::string text, Mark mark) {
  values_[key] = {std::move(text), std::move(mark)};
}

const std::string* PriceArguments::find(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second.text;
}

Mark PriceArguments::mark_of(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() || found->second.mark.file.empty() ? row_ : found->second.mark;
}

void PriceArguments::error(std::string_view key, std::string message, std::string hint) {
  diagnostics_->add(mark_of(key), std::move(message), std::move(hint));
}

std::string PriceArguments::text(std::string_view key, std::string_view fallback) {
  if (const std::string* given = find(key)) return *given;
  if (fallback.empty()) error(key, fmt::format("missing '{}'", key));
  return std::string(fallback);
}

std::int64_t PriceArguments::count(std::string_view key, std::optional<std::int64_t> fallback) {
  const std::string* given = find(key);
  if (!given) {
    if (!fallback) error(key, fmt::format("missing '{}'", key));
    return fallback.value_or(1);
  }
  const std::optional<double> number = parse_number(*given);
  if (!number || *number != std::floor(*number) || *number < 1 || *number > 1e15) {
    error(key, fmt::format("'{}' must be a whole number of at least 1, not '{}'", key, *given));
    return fallback.value_or(1);
  }
  return static_cast<std::int64_t>(*number);
}

double PriceArguments::number(std::string_view key, std::optional<double> fallback) {
  const std::string* given = find(key);
  if (!given && !fallback) error(key, fmt::format("missing '{}'", key));
  if (!given) return fallback.value_or(1);
  try {
    const double value = parse_quantity(*given);
    if (value > 0) return value;
    error(key, fmt::format("'{}' must be above 0", key));
  } catch (const UnitError& e) {
    error(key, fmt::format("'{}': {}", key, e.what()));
  }
  return 1;
}

Watts PriceArguments::power(std::string_view key, Watts fallback) {
  const std::string* given = find(key);
  if (!given) return fallback;
  try {
    return parse_power(*given);
  } catch (const UnitError& e) {
    error(key, fmt::format("'{}': {}", key, e.what()));
    return fallback;
  }
}

bool PriceArguments::flag(std::string_view key, bool fallback) {
  const std::string* given = find(key);
  if (!given) return fallback;
  if (*given == "true" || *given == "1") return true;
  if (*given == "false" || *given == "0") return false;
  error(key, fmt::format("'{}' must be true or false, not '{}'", key, *given));
  return fallback;
}

Bytes PriceArguments::bytes(std::string_view key) {
  const std::string given = text(key);
  if (given.empty()) return Bytes(0);
  if (const std::optional<double> number = parse_number(given)) {
    if (*number >= 0 && *number < 9e18) return Bytes(std::llround(*number));
    error(key, fmt::format("'{}' must be a size, not '{}'", key, given));
    return Bytes(0);
  }
  try {
    return parse_bytes(given);
  } catch (const UnitError& e) {
    error(key, fmt::format("'{}': {}", key, e.what()));
    return Bytes(0);
  }
}

std::size_t PriceArguments::choice(std::string_view key, std::span<const std::string> names) {
  const std::string* given = find(key);
  if (!given) return 0;
  const auto found = std::find(names.begin(), names.end(), *given);
  if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  error(key, fmt::format("'{}' cannot be '{}'", key, *given), suggestion(*given, names));
  return 0;
}

}  // namespace rehearse
