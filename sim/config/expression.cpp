#include "sim/config/expression.hpp"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <utility>

#include "sim/base/units.hpp"
#include "sim/config/expression_parser.hpp"

namespace rehearse {
namespace {

template <class Parse>
std::optional<double> quantity(const std::string& text, Parse parse) {
  try {
    return static_cast<double>(parse(text).value);
  } catch (const UnitError&) {
    return std::nullopt;
  }
}

std::string described(const Operand& o) {
  if (o.kind == Operand::Kind::kText) return "the text '" + o.text + "'";
  if (o.kind == Operand::Kind::kTruth) return o.number != 0 ? "true" : "false";
  return fmt::format("{}", o.number);
}

}  // namespace

Operand Operand::of(const Value::Scalar& scalar) {
  if (scalar.quoted) return {Kind::kText, 0, scalar.text};
  if (const auto n = parse_number(scalar.text)) return of(*n);
  if (scalar.text == "true" || scalar.text == "false") return of(scalar.text == "true");
  if (const auto n = quantity(scalar.text, parse_bytes)) return of(*n);
  if (const auto n = quantity(scalar.text, parse_bandwidth)) return of(*n);
  if (const auto n = quantity(scalar.text, parse_seconds)) return of(*n);
  if (const auto n = quantity(scalar.text, parse_flops_per_second)) return of(*n);
  return {Kind::kText, 0, scalar.text};
}

Expression::Expression(const Value& scalar) {
  if (!scalar.is_scalar())
    throw UserError(scalar.mark(), "expected an expression such as 'plan.tensor_parallel <= 8'");
  text_ = scalar.as_scalar().text;
  quoted_ = scalar.as_scalar().quoted;
  mark_ = scalar.mark();
  ExpressionParser(*this).run();
}

Mark Expression::mark_at(std::size_t offset) const {
  Mark at = mark_;
  // The column of a text over several lines is not known.
  if (at.line > 0 && at.column > 0 && text_.find('\n') == std::string::npos)
    at.column += static_cast<int>(offset) + (quoted_ ? 1 : 0);
  return at;
}

void Expression::fail(std::size_t offset, std::string message, std::string hint) const {
  throw UserError(
      {Diagnostic{mark_at(offset), fmt::format("in the expression '{}': {}", text_, message),
                  std::move(hint), true}});
}

Operand Expression::evaluate(std::span<const Operand* const> values) const {
  return value_of(root_, values);
}

bool Expression::holds(std::span<const Operand* const> values) const {
  const Operand result = value_of(root_, values);
  if (result.kind != Operand::Kind::kTruth)
    fail(nodes_[root_].offset, "expected something true or false, got " + described(result));
  return result.number != 0;
}

double Expression::number_of(std::size_t node, std::span<const Operand* const> values) const {
  const Operand o = value_of(node, values);
  if (o.kind != Operand::Kind::kNumber)
    fail(nodes_[node].offset, "expected a number, got " + described(o));
  return o.number;
}

bool Expression::truth_of(std::size_t node, std::span<const Operand* const> values) const {
  const Operand o = value_of(node, values);
  if (o.kind != Operand::Kind::kTruth)
    fail(nodes_[node].offset, "expected something true or false, got " + described(o));
  return o.number != 0;
}

Operand Expression::compare(const Node& node, const Operand& a, const Operand& b) const {
  if (node.op == Op::kEqual) return Operand::of(a == b);
  if (node.op == Op::kUnequal) return Operand::of(!(a == b));
  if (a.kind != Operand::Kind::kNumber || b.kind != Operand::Kind::kNumber)
    fail(node.offset, fmt::format("cannot order {} and {}", described(a), described(b)));
  if (node.op == Op::kLess) return Operand::of(a.number < b.number);
  if (node.op == Op::kLessEqual) return Operand::of(a.number <= b.number);
  if (node.op == Op::kGreater) return Operand::of(a.number > b.number);
  return Operand::of(a.number >= b.number);
}

Operand Expression::call(const Node& node, std::span<const Operand* const> values) const {
  const ExpressionFunction& f = expression_functions()[node.index];
  if (!f.apply)
    return value_of(node.arguments[truth_of(node.arguments[0], values) ? 1 : 2], values);
  std::vector<double> numbers;
  for (const std::size_t a : node.arguments) numbers.push_back(number_of(a, values));
  return Operand::of(f.apply(numbers));
}

Operand Expression::value_of(std::size_t index, std::span<const Operand* const> values) const {
  const Node& n = nodes_[index];
  const auto number = [&](std::size_t i) { return number_of(n.arguments[i], values); };
  const auto divisor = [&] {
    const double d = number(1);
    if (d == 0) fail(n.offset, "a division by zero");
    return d;
  };
  switch (n.op) {
    case Op::kConstant:
      return constants_[n.index];
    case Op::kVariable:
      return *values[n.index];
    case Op::kOr:
      return Operand::of(truth_of(n.arguments[0], values) || truth_of(n.arguments[1], values));
    case Op::kAnd:
      return Operand::of(truth_of(n.arguments[0], values) && truth_of(n.arguments[1], values));
    case Op::kNot:
      return Operand::of(!truth_of(n.arguments[0], values));
    case Op::kEqual:
    case Op::kUnequal:
    case Op::kLess:
    case Op::kLessEqual:
    case Op::kGreater:
    case Op::kGreaterEqual:
      return compare(n, value_of(n.arguments[0], values), value_of(n.arguments[1], values));
    case Op::kAdd:
      return Operand::of(number(0) + number(1));
    case Op::kSubtract:
      return Operand::of(number(0) - number(1));
    case Op::kMultiply:
      return Operand::of(number(0) * number(1));
    case Op::kDivide:
      return Operand::of(number(0) / divisor());
    case Op::kFloorDivide:
      return Operand::of(std::floor(number(0) / divisor()));
    case Op::kModulo: {
      const double a = number(0), b = divisor();
      return Operand::of(a - b * std::floor(a / b));
    }
    case Op::kNegate:
      return Operand::of(-number(0));
    case Op::kPower:
      return Operand::of(std::pow(number(0), number(1)));
    case Op::kCall:
      return call(n, values);
  }
  return {};
}

}  // namespace rehearse
