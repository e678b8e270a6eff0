#include "sim/config/expression.hpp"

#include <catch2/catch.hpp>
#include <map>
#include <string>
#include <vector>

using namespace rehearse;

namespace {

Operand evaluated(const std::string& text, const std::map<std::string, Operand>& keys = {}) {
  const Expression e(Value::scalar(text, {"s.yaml", 3, 5}));
  std::vector<const Operand*> values;
  for (const auto& v : e.variables()) values.push_back(&keys.at(v.name));
  return e.evaluate(values);
}

double number(const std::string& text) { return evaluated(text).number; }
bool truth(const std::string& text, const std::map<std::string, Operand>& keys = {}) {
  return evaluated(text, keys) == Operand::of(true);
}

}  // namespace

TEST_CASE("Arithmetic binds as in Python") {
  CHECK(number("1 + 2 * 3") == 7);
  CHECK(number("(1 + 2) * 3") == 9);
  CHECK(number("10 - 4 - 3") == 3);
  CHECK(number("2 ** 3 ** 2") == 512);
  CHECK(number("-2 ** 2") == -4);
  CHECK(number("2 ** -1") == 0.5);
  CHECK(number("7 // 2 + 7 / 2") == 6.5);
  CHECK(number("-7 % 3") == 2);
  CHECK(number("-7 // 2") == -4);
}

TEST_CASE("Comparisons chain, and bind tighter than not, and, or") {
  CHECK(truth("1 <= 2 <= 2"));
  CHECK_FALSE(truth("1 <= 3 <= 2"));
  CHECK(truth("not 1 > 2 and 3 > 2 or false"));
  CHECK(truth("true or true and false"));
  CHECK(truth("!(1 == 2) && (2 != 3 || false)"));
}

TEST_CASE("Functions of expressions") {
  CHECK(number("min(3, 1, 2) + max(3, 1)") == 4);
  CHECK(number("ceil(1.2) + floor(1.8) + abs(-3)") == 6);
  CHECK(number("log2(64) + sqrt(9)") == 9);
  CHECK(number("if(2 > 1, 5, 1 / 0)") == 5);
}

TEST_CASE("The side of and, or that is not needed is not evaluated") {
  CHECK(truth("true or 1 / 0 > 1"));
  CHECK_FALSE(truth("false and 1 / 0 > 1"));
}

TEST_CASE("Keys are dotted names, and their values numbers, truth values or texts") {
  const std::map<std::string, Operand> keys{
      {"plan.tensor_parallel", Operand::of(Value::Scalar{"8", false})},
      {"training.recompute", Operand::of(Value::Scalar{"full", false})},
      {"plan.sequence_parallel", Operand::of(Value::Scalar{"true", false})},
      {"cluster.inter_node.bandwidth", Operand::of(Value::Scalar{"400 Gb/s", false})}};
  CHECK(truth("plan.tensor_parallel * 2 == 16", keys));
  CHECK(truth("training.recompute == 'full' and training.recompute != \"none\"", keys));
  CHECK(truth("plan.sequence_parallel", keys));
  CHECK(truth("cluster.inter_node.bandwidth == '50 GB/s'", keys));
  CHECK(truth("cluster.inter_node.bandwidth >= 50e9", keys));
}

TEST_CASE("A mistake in an expression is shown at its column") {
  const auto message = [](const std::string& text) {
    try {
      evaluated(text, {{"a", Operand::of(1.0)}});
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK_THAT(message("1 + "),
             Catch::StartsWith("s.yaml:3:9: error:") && Catch::Contains("the end"));
  CHECK_THAT(message("a = 1"), Catch::StartsWith("s.yaml:3:7:") && Catch::Contains("'=='"));
  CHECK_THAT(message("mix(1, 2)"), Catch::Contains("did you mean 'min'?"));
  CHECK_THAT(message("a < 'full'"), Catch::Contains("cannot order 1 and the text 'full'"));
  CHECK_THAT(message("(a + 1"), Catch::Contains("expected ')'"));
  CHECK_THAT(message("a 2"), Catch::StartsWith("s.yaml:3:7:") && Catch::Contains("operator"));
  CHECK_THAT(message("a / 0"), Catch::Contains("division by zero"));
  CHECK_THAT(message("1 and true"), Catch::Contains("true or false, got 1"));
  CHECK_THAT(message("min()"), Catch::Contains("at least 1 argument"));
  CHECK_THAT(message("8x"), Catch::Contains("cannot end in 'x'"));
  CHECK_THAT(message("'full"), Catch::Contains("not closed"));
}
