#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/config/value.hpp"

namespace rehearse {

// What a key's text means in an expression: a number, a truth value or a text. A quantity is its
// number in SI base units: "400 Gb/s" is 5e10.
struct Operand {
  enum class Kind : std::uint8_t { kNumber, kTruth, kText };
  Kind kind = Kind::kNumber;
  double number = 0;  // of a truth value 0 or 1
  std::string text;

  static Operand of(double number) { return {Kind::kNumber, number, {}}; }
  static Operand of(bool truth) { return {Kind::kTruth, truth ? 1.0 : 0.0, {}}; }
  static Operand of(const Value::Scalar& scalar);
  bool operator==(const Operand&) const = default;
};

// An expression over dotted keys, as a sweep's `where` has them:
//
//   plan.tensor_parallel * plan.pipeline_parallel <= 64 and training.recompute != "full"
//
// Loosest to tightest: `or` (||), `and` (&&), `not` (!), == != < <= > >= (chains as in Python:
// 1 <= x <= 8), + -, * / // % (// rounds down, % has the sign of its right side), unary -, **;
// min max abs ceil floor round sqrt log2 and if(condition, then, else). Texts are in quotes, and a
// quantity is a text: cluster.inter_node.bandwidth >= "200 Gb/s".
class Expression {
 public:
  // Of a scalar; throws UserError at the column of the mistake.
  explicit Expression(const Value& scalar);

  struct Variable {
    std::string name;
    Mark mark;  // where it is first used
  };
  // Each once, in the order of their first use.
  const std::vector<Variable>& variables() const { return variables_; }
  const std::string& text() const { return text_; }

  // `values` by the order of variables(). Throws UserError where types do not go together.
  Operand evaluate(std::span<const Operand* const> values) const;
  // Of an expression that must be true or false.
  bool holds(std::span<const Operand* const> values) const;

 private:
  friend class ExpressionParser;
  enum class Op : std::uint8_t {
    kConstant,
    kVariable,
    kOr,
    kAnd,
    kNot,
    kEqual,
    kUnequal,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kFloorDivide,
    kModulo,
    kNegate,
    kPower,
    kCall
  };
  struct Node {
    Op op = Op::kConstant;
    std::size_t index = 0;  // of constants_, variables_ or the table of functions
    std::vector<std::size_t> arguments;
    std::size_t offset = 0;  // in the text, for errors
  };

  Operand value_of(std::size_t node, std::span<const Operand* const> values) const;
  Operand compare(const Node& node, const Operand& a, const Operand& b) const;
  Operand call(const Node& node, std::span<const Operand* const> values) const;
  double number_of(std::size_t node, std::span<const Operand* const> values) const;
  bool truth_of(std::size_t node, std::span<const Operand* const> values) const;
  Mark mark_at(std::size_t offset) const;
  [[noreturn]] void fail(std::size_t offset, std::string message, std::string hint = {}) const;

  std::string text_;
  Mark mark_;
  bool quoted_ = false;
  std::vector<Variable> variables_;
  std::vector<Operand> constants_;
  std::vector<Node> nodes_;
  std::size_t root_ = 0;
};

}  // namespace rehearse
