#include <fmt/format.h>

#include <cctype>
#include <cmath>
#include <optional>
#include <utility>

#include "sim/base/units.hpp"
#include "sim/config/reader.hpp"
#include "sim/config/sweep.hpp"

namespace rehearse {
namespace {

constexpr std::size_t kMostValues = 100'000;

[[noreturn]] void refuse(const Value& at, std::string message, std::string hint = {}) {
  throw UserError({Diagnostic{at.is_map() ? at.key_mark() : at.mark(), std::move(message),
                              std::move(hint), true}});
}

// "400 Gb/s" as 400 and " Gb/s": the unit keeps its space.
struct Measure {
  double number = 0;
  std::string unit;
};

Measure measure_of(const Value& v, const std::string& key) {
  const std::string text = scalar_as<std::string>(v, key);
  std::size_t end = 0;
  while (end < text.size() &&
         (std::isdigit(static_cast<unsigned char>(text[end])) || text[end] == '.' ||
          text[end] == '-' || text[end] == '+' || text[end] == 'e'))
    ++end;
  const auto number = parse_number(std::string_view(text).substr(0, end));
  if (!number || !std::isfinite(*number))
    refuse(v, fmt::format("{}: expected a number or a quantity, got '{}'", key, text));
  return {*number, text.substr(end)};
}

// The i-th value, computed from the start so that steps do not add up errors; digits beyond
// doubles' trusted ones are dropped (0.1 + 2 * 0.1 is 0.3).
std::string number_text(double x) {
  const double whole = std::round(x);
  if (std::abs(x - whole) <= 1e-9 * std::abs(x) && std::abs(whole) < 9e15)
    return fmt::format("{}", static_cast<std::int64_t>(whole));
  return fmt::format("{:.12g}", x);
}

std::vector<Value> range(const Value& map, const std::string& key) {
  Diagnostics diagnostics;
  Reader reader(map, key, diagnostics);
  if (!reader.has("from")) reader.missing("from");
  if (!reader.has("to")) reader.missing("to");
  const Value &from_value = reader.raw("from"), &to_value = reader.raw("to"),
              &step_value = reader.raw("step"), &factor_value = reader.raw("factor");
  if (step_value.is_null() == factor_value.is_null())
    diagnostics.add(Diagnostic{map.key_mark(), key + ": a range has either 'step' or 'factor'",
                               "such as {from: 1, to: 8, factor: 2}", true});
  reader.finish();
  diagnostics.throw_if_any();

  const Measure from = measure_of(from_value, key + ".from"),
                to = measure_of(to_value, key + ".to");
  if (from.unit != to.unit)
    refuse(to_value, fmt::format("{}: 'from' is in '{}' and 'to' in '{}'", key, from.unit, to.unit),
           "both in the same unit");
  const bool steps = !step_value.is_null();
  const Measure by = measure_of(steps ? step_value : factor_value, key);
  if (steps && !by.unit.empty() && by.unit != from.unit)
    refuse(step_value, fmt::format("{}: 'step' is in '{}', not in '{}'", key, by.unit, from.unit));
  const bool up = to.number >= from.number;
  const bool advances = steps ? (up ? by.number > 0 : by.number < 0)
                              : from.number > 0 && to.number > 0 && by.number > 0 &&
                                    (up ? by.number > 1 : by.number < 1);
  if (!advances)
    refuse(steps ? step_value : factor_value,
           fmt::format("{}: a {} of {} does not lead from {} to {}", key, steps ? "step" : "factor",
                       by.number, from.number, to.number));
  const double last = steps ? (to.number - from.number) / by.number
                            : std::log(to.number / from.number) / std::log(by.number);
  const double count = std::floor(last * (1 + 1e-9) + 1e-9) + 1;
  if (count > static_cast<double>(kMostValues))
    refuse(map, fmt::format("{}: more than {} values", key, kMostValues));
  std::vector<Value> out;
  for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
    const auto n = static_cast<double>(i);
    const double x = steps ? from.number + n * by.number : from.number * std::pow(by.number, n);
    out.push_back(Value::scalar(number_text(x) + from.unit, from_value.mark()));
  }
  return out;
}

}  // namespace

std::vector<Value> sweep_values(const Value& values, const std::string& key) {
  if (values.is_map()) return range(values, key);
  if (!values.is_list())
    refuse(values, fmt::format("{}: expected a list or a range", key),
           "such as [1, 2, 4] or {from: 1, to: 4, factor: 2}");
  if (values.as_list().empty()) refuse(values, key + ": the list is empty");
  if (values.as_list().size() > kMostValues)
    refuse(values, fmt::format("{}: more than {} values", key, kMostValues));
  return values.as_list();
}

}  // namespace rehearse
