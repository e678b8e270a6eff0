#include "sim/config/expression_parser.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

#include "sim/base/suggest.hpp"

namespace rehearse {
namespace {

constexpr int kMaxDepth = 200;

constexpr ExpressionFunction kFunctions[] = {
    {"min", 1, 0, [](std::span<const double> x) { return *std::min_element(x.begin(), x.end()); }},
    {"max", 1, 0, [](std::span<const double> x) { return *std::max_element(x.begin(), x.end()); }},
    {"abs", 1, 1, [](std::span<const double> x) { return std::abs(x[0]); }},
    {"ceil", 1, 1, [](std::span<const double> x) { return std::ceil(x[0]); }},
    {"floor", 1, 1, [](std::span<const double> x) { return std::floor(x[0]); }},
    {"round", 1, 1, [](std::span<const double> x) { return std::nearbyint(x[0]); }},
    {"sqrt", 1, 1, [](std::span<const double> x) { return std::sqrt(x[0]); }},
    {"log2", 1, 1, [](std::span<const double> x) { return std::log2(x[0]); }},
    {"if", 3, 3, nullptr},
};

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool is_name(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

}  // namespace

std::span<const ExpressionFunction> expression_functions() { return kFunctions; }

void ExpressionParser::run() {
  out_.root_ = disjunction();
  skip_space();
  if (!at_end()) out_.fail(at_, "expected an operator, got " + found());
}

std::size_t ExpressionParser::disjunction() {
  static constexpr Spelling kOr[] = {{"or", Op::kOr}, {"||", Op::kOr}};
  std::size_t left = conjunction();
  for (skip_space();; skip_space()) {
    const std::size_t offset = at_;
    if (!take(kOr)) return left;
    left = add(Op::kOr, offset, {left, conjunction()});
  }
}

std::size_t ExpressionParser::conjunction() {
  static constexpr Spelling kAnd[] = {{"and", Op::kAnd}, {"&&", Op::kAnd}};
  std::size_t left = negation();
  for (skip_space();; skip_space()) {
    const std::size_t offset = at_;
    if (!take(kAnd)) return left;
    left = add(Op::kAnd, offset, {left, negation()});
  }
}

std::size_t ExpressionParser::negation() {
  if (++depth_ > kMaxDepth) out_.fail(at_, "nested too deeply");
  skip_space();
  const std::size_t offset = at_;
  const bool bang = next() == '!' && !out_.text_.substr(at_).starts_with("!=");
  std::size_t result = 0;
  if (bang || take("not")) {
    at_ += bang ? 1 : 0;
    result = add(Op::kNot, offset, {negation()});
  } else {
    result = comparison();
  }
  --depth_;
  return result;
}

std::size_t ExpressionParser::comparison() {
  static constexpr Spelling kComparisons[] = {{"==", Op::kEqual},     {"!=", Op::kUnequal},
                                              {"<=", Op::kLessEqual}, {">=", Op::kGreaterEqual},
                                              {"<", Op::kLess},       {">", Op::kGreater}};
  std::size_t left = sum();
  std::optional<std::size_t> chain;
  for (skip_space();; skip_space()) {
    const std::size_t offset = at_;
    const std::optional<Op> op = take(kComparisons);
    if (!op) {
      if (next() == '=') out_.fail(at_, "'=' is not a comparison", "did you mean '=='?");
      return chain.value_or(left);
    }
    const std::size_t right = sum();
    const std::size_t link = add(*op, offset, {left, right});
    chain = chain ? add(Op::kAnd, offset, {*chain, link}) : link;
    left = right;
  }
}

std::size_t ExpressionParser::sum() {
  static constexpr Spelling kSigns[] = {{"+", Op::kAdd}, {"-", Op::kSubtract}};
  std::size_t left = product();
  for (skip_space();; skip_space()) {
    const std::size_t offset = at_;
    const std::optional<Op> op = take(kSigns);
    if (!op) return left;
    left = add(*op, offset, {left, product()});
  }
}

std::size_t ExpressionParser::product() {
  static constexpr Spelling kFactors[] = {
      {"//", Op::kFloorDivide}, {"/", Op::kDivide}, {"%", Op::kModulo}, {"*", Op::kMultiply}};
  std::size_t left = unary();
  for (skip_space();; skip_space()) {
    const std::size_t offset = at_;
    const std::optional<Op> op = take(kFactors);
    if (!op) return left;
    left = add(*op, offset, {left, unary()});
  }
}

std::size_t ExpressionParser::unary() {
  skip_space();
  if (++depth_ > kMaxDepth) out_.fail(at_, "nested too deeply");
  const std::size_t offset = at_;
  const std::size_t result = take("-") ? add(Op::kNegate, offset, {unary()}) : power();
  --depth_;
  return result;
}

std::size_t ExpressionParser::power() {
  const std::size_t base = primary();
  skip_space();
  const std::size_t offset = at_;
  if (!take("**")) return base;
  return add(Op::kPower, offset, {base, unary()});
}

std::size_t ExpressionParser::primary() {
  skip_space();
  const char c = next();
  if (take("(")) {
    const std::size_t inner = disjunction();
    skip_space();
    if (!take(")")) out_.fail(at_, "expected ')', got " + found());
    return inner;
  }
  if (std::isdigit(static_cast<unsigned char>(c)) || c == '.') return number();
  if (c == '"' || c == '\'') return text();
  if (is_name_start(c)) return name();
  out_.fail(at_, "expected a key, a number or a text in quotes, got " + found());
}

std::size_t ExpressionParser::number() {
  const std::size_t offset = at_;
  double value = 0;
  const char* begin = out_.text_.data() + at_;
  const char* end = out_.text_.data() + out_.text_.size();
  const auto [stop, status] = std::from_chars(begin, end, value);
  if (status != std::errc()) out_.fail(offset, "expected a number, got " + found());
  at_ += static_cast<std::size_t>(stop - begin);
  if (is_name_start(next()))
    out_.fail(offset, "a number cannot end in " + found(), "quote a quantity: \"25 MiB\"");
  return constant(Operand::of(value), offset);
}

std::size_t ExpressionParser::text() {
  const std::size_t offset = at_;
  const std::size_t close = out_.text_.find(next(), at_ + 1);
  if (close == std::string::npos) out_.fail(offset, "the quote is not closed");
  const std::string inside = out_.text_.substr(at_ + 1, close - at_ - 1);
  at_ = close + 1;
  return constant(Operand::of(Value::Scalar{inside, false}), offset);
}

std::size_t ExpressionParser::name() {
  const std::size_t offset = at_;
  while (is_name(next()) ||
         (next() == '.' && at_ + 1 < out_.text_.size() && is_name_start(out_.text_[at_ + 1])))
    ++at_;
  const std::string name = out_.text_.substr(offset, at_ - offset);
  if (name == "true" || name == "false") return constant(Operand::of(name == "true"), offset);
  for (const char* word : {"and", "or", "not"})
    if (name == word) out_.fail(offset, "expected a key or a number, got '" + name + "'");
  skip_space();
  if (next() == '(') return call(name, offset);
  const auto known = std::find_if(out_.variables_.begin(), out_.variables_.end(),
                                  [&](const auto& v) { return v.name == name; });
  const auto index = static_cast<std::size_t>(known - out_.variables_.begin());
  if (known == out_.variables_.end()) out_.variables_.push_back({name, out_.mark_at(offset)});
  return add(Op::kVariable, offset, {}, index);
}

std::size_t ExpressionParser::call(const std::string& function, std::size_t offset) {
  std::vector<std::string> names;
  std::size_t index = 0;
  for (const ExpressionFunction& f : kFunctions) names.emplace_back(f.name);
  while (index < names.size() && names[index] != function) ++index;
  if (index == names.size())
    out_.fail(offset, "unknown function '" + function + "'", suggestion(function, names));
  take("(");
  std::vector<std::size_t> arguments;
  skip_space();
  while (next() != ')') {
    arguments.push_back(disjunction());
    skip_space();
    if (!take(",") && next() != ')') out_.fail(at_, "expected ',' or ')', got " + found());
    skip_space();
  }
  take(")");
  const ExpressionFunction& f = kFunctions[index];
  if (arguments.size() < f.least || (f.most > 0 && arguments.size() > f.most))
    out_.fail(offset, "'" + function + "' takes " + (f.most == 0 ? "at least " : "") +
                          std::to_string(f.least) + " argument" + (f.least == 1 ? "" : "s") +
                          ", not " + std::to_string(arguments.size()));
  return add(Op::kCall, offset, std::move(arguments), index);
}

std::optional<Expression::Op> ExpressionParser::take(std::span<const Spelling> spellings) {
  for (const Spelling& s : spellings) {
    // `**` belongs to power(), which has looked before.
    if (take(s.text)) return s.op;
  }
  return std::nullopt;
}

bool ExpressionParser::take(std::string_view text) {
  if (!std::string_view(out_.text_).substr(at_).starts_with(text)) return false;
  const std::size_t end = at_ + text.size();
  const bool word = is_name_start(text.front());
  if (word && end < out_.text_.size() && (is_name(out_.text_[end]) || out_.text_[end] == '.'))
    return false;
  at_ = end;
  return true;
}

void ExpressionParser::skip_space() {
  while (std::isspace(static_cast<unsigned char>(next()))) ++at_;
}

std::size_t ExpressionParser::add(Op op, std::size_t offset, std::vector<std::size_t> arguments,
                                  std::size_t index) {
  out_.nodes_.push_back({op, index, std::move(arguments), offset});
  return out_.nodes_.size() - 1;
}

std::size_t ExpressionParser::constant(Operand value, std::size_t offset) {
  out_.constants_.push_back(std::move(value));
  return add(Op::kConstant, offset, {}, out_.constants_.size() - 1);
}

std::string ExpressionParser::found() const {
  if (at_end()) return "the end";
  std::size_t end = at_;
  while (end < out_.text_.size() && is_name(out_.text_[end])) ++end;
  return "'" + out_.text_.substr(at_, std::max<std::size_t>(end - at_, 1)) + "'";
}

}  // namespace rehearse
