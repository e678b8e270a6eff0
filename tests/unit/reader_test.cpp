#include "sim/config/reader.hpp"

#include <catch2/catch.hpp>
#include <functional>
#include <limits>
#include <string>
#include <vector>

namespace rehearse {
namespace {

// What a reader of `text` has to say about it.
std::string complaints(const std::string& text, const std::function<void(Reader&)>& read) {
  const Value v = parse_text(text, "f");
  Diagnostics d;
  Reader r(v, "plan", d);
  read(r);
  try {
    d.throw_if_any();
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a map is read into typed values", "[reader]") {
  const Value v = parse_text(
      "{yes: true, n: 4096, i: -3, x: 1e-5, s: flash, b: 25 MiB, t: 3 us, w: 400 Gb/s,"
      " f: 989 TFLOP/s, l: [1, 2]}",
      "f");
  Diagnostics d;
  Reader r(v, "map", d);
  CHECK(r.required<bool>("yes"));
  CHECK(r.required<std::int64_t>("n") == 4096);
  CHECK(r.required<int>("i") == -3);
  CHECK(r.required<double>("x") == 1e-5);
  CHECK(r.required<std::string>("s") == "flash");
  CHECK(r.required<Bytes>("b") == Bytes(26'214'400));
  CHECK(r.required<Seconds>("t") == Seconds(3e-6));
  CHECK(r.required<BytesPerSecond>("w") == BytesPerSecond(50e9));
  CHECK(r.required<FlopsPerSecond>("f") == FlopsPerSecond(989e12));
  CHECK(r.list<int>("l") == std::vector<int>{1, 2});
  r.finish();
  CHECK(d.empty());
}

TEST_CASE("what is missing takes its default", "[reader]") {
  const Value v = parse_text("{empty: ~}", "f");
  Diagnostics d;
  Reader r(v, "map", d);
  CHECK(r.optional<int>("a", 7) == 7);
  CHECK(r.optional<int>("empty", 8) == 8);
  CHECK(r.count("empty", 9) == 9);
  CHECK_FALSE(r.maybe<double>("b").has_value());
  CHECK(r.list<int>("c").empty());
  CHECK(r.choice("d", std::vector<std::string>{"x", "y"}, 1) == 1);
  CHECK(r.raw("e").is_null());
  CHECK(d.empty());
}

TEST_CASE("a missing key is reported at the map, an empty one at the key", "[reader]") {
  CHECK(complaints("a: 1\n", [](Reader& r) { r.required<int>("b"); }) ==
        "f:1:1: error: plan: missing key 'b'");
  CHECK(complaints("a: 1\nb:\n", [](Reader& r) { r.required_count("b"); }) ==
        "f:2:1: error: plan: 'b' has no value");
}

TEST_CASE("a missing key of a nested map is reported at the map's key", "[reader]") {
  CHECK(complaints("x: 1\ninner:\n  a: 1\n", [](Reader& r) {
          Reader inner = r.child("inner");
          inner.required<int>("b");
        }) == "f:2:1: error: plan.inner: missing key 'b'");
  CHECK(complaints("x: 1\n", [](Reader& r) {
          Reader inner = r.child("inner");
          inner.required<int>("b");
        }) == "f:1:1: error: plan.inner: missing key 'b'");
}

TEST_CASE("an unknown key has the nearest one as a hint", "[reader]") {
  CHECK(complaints("tensor_paralel: 4\n",
                   [](Reader& r) {
                     r.count("tensor_parallel", 1);
                     r.finish();
                   }) ==
        "f:1:1: error: plan: unknown key 'tensor_paralel' "
        "(did you mean 'tensor_parallel'?)");
}

TEST_CASE("ignored keys are known", "[reader]") {
  CHECK(complaints("{a: 1, b: [2]}", [](Reader& r) {
          r.ignore(std::vector<std::string>{"a", "b"});
          CHECK(r.knows("b"));
          CHECK_FALSE(r.knows("c"));
          r.finish();
        }).empty());
}

TEST_CASE("all mistakes of a map are reported", "[reader]") {
  CHECK(complaints("a: x\nb: 1\nc: 0\n",
                   [](Reader& r) {
                     r.required<int>("a");
                     r.required<bool>("b");
                     r.required_count("c");
                     r.required<int>("d");
                     r.finish();
                   }) ==
        "f:1:4: error: plan.a: expected an integer, got 'x'\n"
        "f:2:4: error: plan.b: expected true or false, got '1'\n"
        "f:3:4: error: plan.c: expected an integer of at least 1, got '0'\n"
        "f:1:1: error: plan: missing key 'd'");
}

TEST_CASE("an integer may be written with an exponent when it is one", "[reader]") {
  CHECK(scalar_as<std::int64_t>(Value::scalar("1e9"), "n") == 1'000'000'000);
  CHECK(scalar_as<std::int64_t>(Value::scalar("1.5e3"), "n") == 1500);
  CHECK(scalar_as<std::int64_t>(Value::scalar("9223372036854775807"), "n") ==
        std::numeric_limits<std::int64_t>::max());
  for (const char* text : {"1.5", "1e-3", "4k", "0x10", "1e30", "inf", "", "4 "}) {
    INFO(text);
    CHECK_THROWS_AS(scalar_as<std::int64_t>(Value::scalar(text), "n"), UserError);
  }
  CHECK_THROWS_AS(scalar_as<int>(Value::scalar("2147483648"), "n"), UserError);
}

TEST_CASE("a quoted number is a text", "[reader]") {
  CHECK(complaints("a: \"4\"\n", [](Reader& r) { r.required<int>("a"); }) ==
        "f:1:4: error: plan.a: expected an integer, got '4' (without the quotes)");
  CHECK(complaints("a: \"4\"\n", [](Reader& r) {
          CHECK(r.required<std::string>("a") == "4");
        }).empty());
  CHECK(complaints("a: \"4 GB\"\n", [](Reader& r) {
          CHECK(r.required<Bytes>("a") == Bytes(4'000'000'000));
        }).empty());
}

TEST_CASE("a wrong unit is a mistake at the value", "[reader]") {
  CHECK(complaints("a: 900 GB\n", [](Reader& r) { r.required<BytesPerSecond>("a"); }) ==
        "f:1:4: error: plan.a: expected a bandwidth such as '900 GB/s' or '400 Gb/s', "
        "got '900 GB': that is a size");
}

TEST_CASE("a map or list where a scalar is expected is a mistake", "[reader]") {
  CHECK(complaints("a: {b: 1}\n", [](Reader& r) { r.optional<int>("a", 1); }) ==
        "f:1:1: error: plan.a: expected an integer, got a mapping");
  CHECK(complaints("a: [1]\n", [](Reader& r) { r.optional<Seconds>("a", Seconds(1)); }) ==
        "f:1:4: error: plan.a: expected a time such as '3 us', got a list");
  CHECK(complaints("a: 1\n", [](Reader& r) { r.list<int>("a"); }) ==
        "f:1:4: error: plan.a: expected a list, got '1'");
}

TEST_CASE("a scalar where a map is expected is one mistake", "[reader]") {
  CHECK(complaints("a: 5\n", [](Reader& r) {
          Reader a = r.child("a");
          a.required<int>("x");
          a.child("y").required<int>("z");
          CHECK_FALSE(a.has("x"));
          a.finish();
        }) == "f:1:4: error: plan.a: expected a mapping of keys to values, got '5'");
}

TEST_CASE("an item of a list is reported where it is", "[reader]") {
  CHECK(complaints("a: [1, two, 3]\n", [](Reader& r) {
          CHECK(r.list<int>("a") == std::vector<int>{1, 3});
        }) == "f:1:8: error: plan.a: expected an integer, got 'two'");
}

TEST_CASE("a choice is one of its names", "[reader]") {
  const std::vector<std::string> names{"none", "selective", "full"};
  CHECK(complaints("a: full\n", [&](Reader& r) { CHECK(r.choice("a", names, 0) == 2); }).empty());
  CHECK(complaints("a: selectiv\n", [&](Reader& r) { CHECK(r.choice("a", names, 0) == 0); }) ==
        "f:1:4: error: plan.a: unknown value 'selectiv' (did you mean 'selective'?)");
  CHECK(complaints("a: off\n", [&](Reader& r) { r.choice("a", names, 0); }) ==
        "f:1:4: error: plan.a: unknown value 'off' (one of none, selective, full)");
}

TEST_CASE("truth values take YAML's spellings", "[reader]") {
  CHECK(scalar_as<bool>(Value::scalar("yes"), "b"));
  CHECK_FALSE(scalar_as<bool>(Value::scalar("False"), "b"));
  CHECK_THROWS_AS(scalar_as<bool>(Value::scalar("0"), "b"), UserError);
}

}  // namespace rehearse
