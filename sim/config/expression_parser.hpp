#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "sim/config/expression.hpp"

namespace rehearse {

// Functions of expressions. `most` 0: any number from `least` on.
struct ExpressionFunction {
  std::string_view name;
  std::size_t least, most;
  double (*apply)(std::span<const double>);  // null: `if`, which evaluates one of its branches
};
std::span<const ExpressionFunction> expression_functions();

// Recursive descent, a function a level of precedence. Private to this folder.
class ExpressionParser {
 public:
  explicit ExpressionParser(Expression& out) : out_(out) {}
  void run();

 private:
  using Op = Expression::Op;
  struct Spelling {
    std::string_view text;
    Op op;
  };

  std::size_t disjunction();
  std::size_t conjunction();
  std::size_t negation();
  std::size_t comparison();
  std::size_t sum();
  std::size_t product();
  std::size_t unary();
  std::size_t power();
  std::size_t primary();
  std::size_t number();
  std::size_t text();
  std::size_t name();
  std::size_t call(const std::string& function, std::size_t offset);

  // Takes the first of the spellings that comes next; the longer ones stand first.
  std::optional<Op> take(std::span<const Spelling> spellings);
  bool take(std::string_view text);
  void skip_space();
  bool at_end() const { return at_ >= out_.text_.size(); }
  char next() const { return at_end() ? '\0' : out_.text_[at_]; }
  std::size_t add(Op op, std::size_t offset, std::vector<std::size_t> arguments,
                  std::size_t index = 0);
  std::size_t constant(Operand value, std::size_t offset);
  std::string found() const;  // what comes next, for errors

  Expression& out_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace rehearse
