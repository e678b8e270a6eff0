#include "sim/config/reader.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>
#include <type_traits>

#include "sim/base/suggest.hpp"
#include "sim/base/units.hpp"

namespace rehearse {
namespace {

const Value& null_value() {
  static const Value kNull;
  return kNull;
}

// Where a mistake in `v` is shown: the offending text, or the key when the text is a whole block.
const Mark& place_of(const Value& v) {
  return v.is_scalar() || v.is_list() ? v.mark() : v.key_mark();
}

// A mistake in this key alone.
UserError form_error(Mark mark, std::string message, std::string hint = {}) {
  return UserError({Diagnostic{std::move(mark), std::move(message), std::move(hint), true}});
}

std::string described(const Value& v) {
  if (v.is_null()) return "nothing";
  if (v.is_list()) return "a list";
  if (v.is_map()) return "a mapping";
  return "'" + v.as_scalar().text + "'";
}

[[noreturn]] void refuse(const Value& v, const std::string& key, const std::string& expected,
                         std::string hint = {}) {
  throw form_error(place_of(v), key + ": expected " + expected + ", got " + described(v),
                   std::move(hint));
}

const std::string& text_of(const Value& v, const std::string& key, const std::string& expected) {
  if (!v.is_scalar()) refuse(v, key, expected);
  return v.as_scalar().text;
}

// Quotes make a text of what would be a number or a truth value.
const std::string& plain_text_of(const Value& v, const std::string& key,
                                 const std::string& expected) {
  const std::string& text = text_of(v, key, expected);
  if (v.as_scalar().quoted) refuse(v, key, expected, "without the quotes");
  return text;
}

bool read_bool(const Value& v, const std::string& key) {
  const std::string& text = plain_text_of(v, key, "true or false");
  for (const char* yes : {"true", "True", "TRUE", "yes", "on"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"false", "False", "FALSE", "no", "off"}) {
    if (text == no) return false;
  }
  refuse(v, key, "true or false");
}

std::int64_t read_integer(const Value& v, const std::string& key) {
  const std::string& text = plain_text_of(v, key, "an integer");
  std::int64_t whole = 0;
  const char* end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, whole);
  if (status == std::errc() && stop == end) return whole;
  // 1e9 and 1.5e3 are integers; beyond 2^53 a double would not say which one.
  const std::optional<double> number = parse_number(text);
  if (!number || *number != std::floor(*number)) refuse(v, key, "an integer");
  if (std::abs(*number) > 9007199254740992.0) refuse(v, key, "an integer below 2^53");
  return static_cast<std::int64_t>(*number);
}

// The number or quantity that `parse` makes of the text.
template <class Parse>
auto read_quantity(const Value& v, const std::string& key, const std::string& expected,
                   Parse parse) {
  const std::string& text = text_of(v, key, expected);
  try {
    return parse(text);
  } catch (const UnitError& e) {
    throw form_error(place_of(v), key + ": " + e.what());
  }
}

double read_double(const Value& v, const std::string& key) {
  const std::optional<double> number = parse_number(plain_text_of(v, key, "a number"));
  if (!number) refuse(v, key, "a number");
  return *number;
}

}  // namespace

template <class T>
T scalar_as(const Value& v, const std::string& key) {
  if constexpr (std::is_same_v<T, bool>) {
    return read_bool(v, key);
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return read_integer(v, key);
  } else if constexpr (std::is_same_v<T, int>) {
    const std::int64_t whole = read_integer(v, key);
    if (whole < std::numeric_limits<int>::min() || whole > std::numeric_limits<int>::max()) {
      refuse(v, key, "an integer below 2^31");
    }
    return static_cast<int>(whole);
  } else if constexpr (std::is_same_v<T, double>) {
    return read_double(v, key);
  } else if constexpr (std::is_same_v<T, std::string>) {
    return text_of(v, key, "a text");
  } else if constexpr (std::is_same_v<T, Bytes>) {
    return read_quantity(v, key, "a size such as '25 MiB'", parse_bytes);
  } else if constexpr (std::is_same_v<T, Seconds>) {
    return read_quantity(v, key, "a time such as '3 us'", parse_seconds);
  } else if constexpr (std::is_same_v<T, BytesPerSecond>) {
    return read_quantity(v, key, "a bandwidth such as '900 GB/s'", parse_bandwidth);
  } else if constexpr (std::is_same_v<T, Watts>) {
    return read_quantity(v, key, "a power such as '700 W'", parse_power);
  } else {
    static_assert(std::is_same_v<T, FlopsPerSecond>);
    return read_quantity(v, key, "a rate such as '989 TFLOP/s'", parse_flops_per_second);
  }
}

Reader::Reader(const Value& value, std::string what, Diagnostics& diagnostics)
    : value_(&value), what_(std::move(what)), diagnostics_(&diagnostics), mark_(value.key_mark()) {
  if (value.is_map() || value.is_null()) return;
  diagnostics_->add(form_error(
      place_of(value), prefix() + "expected a mapping of keys to values, got " + described(value)));
  // One mistake is enough: its keys are not missing as well.
  value_ = &null_value();
  broken_ = true;
}

std::string Reader::prefix() const { return what_.empty() ? "" : what_ + ": "; }

std::string Reader::full_name(const std::string& key) const {
  return what_.empty() ? key : what_ + "." + key;
}

const Value* Reader::look(const std::string& key) {
  known_.insert(key);
  if (!value_->is_map()) return nullptr;
  const Value* v = value_->find(key);
  return v && !v->is_null() ? v : nullptr;
}

void Reader::missing(const std::string& key) {
  if (broken_) return;
  const Value* v = value_->is_map() ? value_->find(key) : nullptr;
  if (v) {
    diagnostics_->add(form_error(v->key_mark(), prefix() + "'" + key + "' has no value"));
  } else {
    diagnostics_->add(form_error(mark_, prefix() + "missing key '" + key + "'"));
  }
}

template <class T>
std::optional<T> Reader::read(const Value& v, const std::string& key) {
  try {
    return scalar_as<T>(v, full_name(key));
  } catch (const UserError& e) {
    diagnostics_->add(e);
    return std::nullopt;
  }
}

template <class T>
T Reader::required(const std::string& key) {
  const Value* v = look(key);
  if (!v) {
    missing(key);
    return T{};
  }
  return read<T>(*v, key).value_or(T{});
}

template <class T>
T Reader::optional(const std::string& key, T fallback) {
  const Value* v = look(key);
  if (!v) return fallback;
  return read<T>(*v, key).value_or(std::move(fallback));
}

template <class T>
std::optional<T> Reader::maybe(const std::string& key) {
  const Value* v = look(key);
  if (!v) return std::nullopt;
  return read<T>(*v, key);
}

template <class T>
std::vector<T> Reader::list(const std::string& key) {
  const Value* v = look(key);
  std::vector<T> items;
  if (!v) return items;
  if (!v->is_list()) {
    form(key, "expected a list, got " + described(*v));
    return items;
  }
  for (const Value& item : v->as_list()) {
    if (std::optional<T> read_item = read<T>(item, key)) items.push_back(std::move(*read_item));
  }
  return items;
}

std::int64_t Reader::checked_count(const Value& v, const std::string& key, std::int64_t fallback,
                                   std::int64_t minimum) {
  const std::optional<std::int64_t> n = read<std::int64_t>(v, key);
  if (!n) return fallback;
  if (*n < minimum) {
    form(key,
         "expected an integer of at least " + std::to_string(minimum) + ", got " + described(v));
    return fallback;
  }
  return *n;
}

std::int64_t Reader::required_count(const std::string& key, std::int64_t minimum) {
  const Value* v = look(key);
  if (!v) {
    missing(key);
    return minimum;
  }
  return checked_count(*v, key, minimum, minimum);
}

std::int64_t Reader::count(const std::string& key, std::int64_t fallback, std::int64_t minimum) {
  const Value* v = look(key);
  return v ? checked_count(*v, key, fallback, minimum) : fallback;
}

std::size_t Reader::choice(const std::string& key, std::span<const std::string> names,
                           std::size_t fallback) {
  const Value* v = look(key);
  if (!v) return fallback;
  if (!v->is_scalar()) {
    form(key, "expected a name, got " + described(*v), suggestion("", names));
    return fallback;
  }
  const std::string& text = v->as_scalar().text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return i;
  }
  form(key, "unknown value '" + text + "'", suggestion(text, names));
  return fallback;
}

const Value& Reader::raw(const std::string& key) {
  const Value* v = look(key);
  return v ? *v : null_value();
}

Reader Reader::child(const std::string& key) {
  Reader r(raw(key), full_name(key), *diagnostics_);
  if (r.value_->is_null() && !r.broken_) r.mark_ = mark_;
  r.broken_ = r.broken_ || broken_;
  return r;
}

void Reader::ignore(std::span<const std::string> keys) { known_.insert(keys.begin(), keys.end()); }

void Reader::error(const std::string& key, std::string message, std::string hint) {
  add(key, std::move(message), std::move(hint), false);
}

void Reader::form(const std::string& key, std::string message, std::string hint) {
  add(key, std::move(message), std::move(hint), true);
}

void Reader::add(const std::string& key, std::string message, std::string hint, bool of_form) {
  const Value* v = has(key) ? value_->find(key) : nullptr;
  diagnostics_->add(Diagnostic{v ? place_of(*v) : mark_, full_name(key) + ": " + std::move(message),
                               std::move(hint), of_form});
}

void Reader::finish() {
  if (!value_->is_map()) return;
  const std::vector<std::string> candidates(known_.begin(), known_.end());
  for (const auto& [key, v] : value_->as_map()) {
    if (known_.count(key) > 0) continue;
    diagnostics_->add(form_error(v.key_mark(), prefix() + "unknown key '" + key + "'",
                                 suggestion(key, candidates)));
  }
}

#define REHEARSE_READ(T)                                          \
  template T scalar_as<T>(const Value&, const std::string&);      \
  template T Reader::required<T>(const std::string&);             \
  template T Reader::optional<T>(const std::string&, T);          \
  template std::optional<T> Reader::maybe<T>(const std::string&); \
  template std::vector<T> Reader::list<T>(const std::string&);

REHEARSE_READ(bool)
REHEARSE_READ(int)
REHEARSE_READ(std::int64_t)
REHEARSE_READ(double)
REHEARSE_READ(std::string)
REHEARSE_READ(Bytes)
REHEARSE_READ(Seconds)
REHEARSE_READ(BytesPerSecond)
REHEARSE_READ(FlopsPerSecond)
REHEARSE_READ(Watts)
#undef REHEARSE_READ

}  // namespace rehearse
