#include "sim/base/quantity.hpp"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "sim/base/dtype.hpp"
#include "sim/base/format.hpp"
#include "sim/base/sim_time.hpp"
#include "sim/base/units.hpp"

namespace rehearse {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

template <class Parse>
std::string complaint(Parse parse, const char* text) {
  try {
    parse(text);
  } catch (const UnitError& e) {
    return e.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("bytes over a bandwidth are seconds", "[quantity]") {
  const Seconds t = Bytes(450'000'000'000) / BytesPerSecond(900e9);
  CHECK(t.value == 0.5);
  CHECK((Flops(989e12) / FlopsPerSecond(989e12)).value == 1.0);
  CHECK(max(Seconds(1), Seconds(2)) == Seconds(2));
  CHECK(min(Seconds(1), Seconds(2)) == Seconds(1));
}

TEST_CASE("a data type has its size and its name", "[quantity]") {
  for (const DType t : {DType::kFp32, DType::kTf32, DType::kBf16, DType::kFp16, DType::kFp8,
                        DType::kInt64, DType::kBool}) {
    CHECK(dtype_from_string(to_string(t)) == t);
  }
  CHECK(size_of(DType::kTf32) == Bytes(4));
  CHECK(size_of(DType::kBf16) == Bytes(2));
  CHECK_FALSE(dtype_from_string("float32").has_value());
}

TEST_CASE("simulated time rounds to the nearest picosecond", "[sim_time]") {
  CHECK(to_sim_time(Seconds(1)).ps == 1'000'000'000'000);
  CHECK(to_sim_time(Seconds(1.4e-12)).ps == 1);
  CHECK(to_sim_time(Seconds(1.6e-12)).ps == 2);
  CHECK(to_sim_time(Seconds(0)).ps == 0);
}

TEST_CASE("positive work takes at least a picosecond", "[sim_time]") {
  CHECK(to_sim_time(Seconds(1e-15)).ps == 1);
  CHECK(to_sim_time(Seconds(std::numeric_limits<double>::denorm_min())).ps == 1);
}

TEST_CASE("a time that cannot be represented is an overflow", "[sim_time]") {
  // int64 holds 9,223,372.04 s.
  CHECK(to_sim_time(Seconds(9'223'372)).ps == 9'223'372'000'000'000'000);
  CHECK_THROWS_AS(to_sim_time(Seconds(9'223'373)), std::overflow_error);
  CHECK_THROWS_AS(to_sim_time(Seconds(kInfinity)), std::overflow_error);
  CHECK_THROWS_AS(to_sim_time(Seconds(std::nan(""))), std::overflow_error);
  CHECK_THROWS_AS(to_sim_time(Seconds(-1e-12)), std::overflow_error);
}

TEST_CASE("sizes take decimal and binary prefixes", "[units]") {
  CHECK(parse_bytes("25 MiB") == Bytes(26'214'400));
  CHECK(parse_bytes("64MiB") == Bytes(67'108'864));
  CHECK(parse_bytes("141 GB") == Bytes(141'000'000'000));
  CHECK(parse_bytes("141.2 GB") == Bytes(141'200'000'000));
  CHECK(parse_bytes("1.5 KiB") == Bytes(1536));
  CHECK(parse_bytes("512 B") == Bytes(512));
  CHECK(parse_bytes("0") == Bytes(0));
}

TEST_CASE("a small b is bits", "[units]") {
  CHECK(parse_bandwidth("400 Gb/s").value == 50e9);
  CHECK(parse_bandwidth("400 Gbps").value == 50e9);
  CHECK(parse_bandwidth("400 GB/s").value == 400e9);
  CHECK(parse_bandwidth("3.35 TB/s").value == Approx(3.35e12).epsilon(1e-15));
  CHECK(parse_bandwidth("50 GiB/s").value == 53'687'091'200.0);
}

TEST_CASE("times are the nearest double", "[units]") {
  CHECK(parse_seconds("3 us").value == 3e-6);
  CHECK(parse_seconds("1.5 ms").value == 1.5e-3);
  CHECK(parse_seconds("500 ns").value == 500e-9);
  CHECK(parse_seconds("3 \u00b5s").value == 3e-6);
  CHECK(parse_seconds("2 s").value == 2.0);
  CHECK(parse_seconds("1e-3 s").value == 1e-3);
}

TEST_CASE("compute rates take the usual spellings", "[units]") {
  CHECK(parse_flops_per_second("989 TFLOP/s").value == 989e12);
  CHECK(parse_flops_per_second("989.4 TFLOPS").value == Approx(989.4e12).epsilon(1e-15));
  CHECK(parse_flops_per_second("2.25 PFLOP/s").value == 2.25e15);
}

TEST_CASE("only rates may be infinite", "[units]") {
  CHECK(parse_bandwidth("inf").value == kInfinity);
  CHECK(parse_bandwidth("inf GB/s").value == kInfinity);
  CHECK(parse_bandwidth(".inf").value == kInfinity);
  CHECK_THROWS_AS(parse_seconds("inf s"), UnitError);
  CHECK_THROWS_AS(parse_bytes("inf"), UnitError);
}

TEST_CASE("a wrong unit is told apart from a missing one", "[units]") {
  CHECK(complaint(parse_bandwidth, "900 GB") ==
        "expected a bandwidth such as '900 GB/s' or '400 Gb/s', got '900 GB': that is a size");
  CHECK(complaint(parse_bandwidth, "900") ==
        "expected a bandwidth such as '900 GB/s' or '400 Gb/s', got '900': it has no unit");
  CHECK(complaint(parse_bytes, "80 Gb") ==
        "expected a size such as '25 MiB' or '141 GB', got '80 Gb': b is bits, B is bytes");
  CHECK(complaint(parse_bytes, "80 gb") ==
        "expected a size such as '25 MiB' or '141 GB', got '80 gb': "
        "upper and lower case differ in units");
  CHECK(complaint(parse_seconds, "3 parsecs") ==
        "expected a time such as '3 us' or '1.5 ms', got '3 parsecs': unknown unit 'parsecs'");
}

TEST_CASE("what is no quantity is refused", "[units]") {
  for (const char* text : {"", " ", "GB", "fast", "-5 GB", "nan GB", "1..5 GB", "5 GB GB", "+-5 GB",
                           "1e400 GB", "100 EB"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_bytes(text), UnitError);
  }
}

TEST_CASE("a number is the whole text", "[units]") {
  CHECK(parse_number("1e9") == 1e9);
  CHECK(parse_number("-0.5") == -0.5);
  CHECK(parse_number("+2") == 2.0);
  CHECK_FALSE(parse_number("2 ").has_value());
  CHECK_FALSE(parse_number("2x").has_value());
  CHECK_FALSE(parse_number("nan").has_value());
  CHECK_FALSE(parse_number("").has_value());
}

TEST_CASE("quantities print with the prefix that suits", "[format]") {
  CHECK(format_bytes(Bytes(53'900'000'000)) == "53.9 GB");
  CHECK(format_bytes(Bytes(999)) == "999 B");
  CHECK(format_bytes(Bytes(1500)) == "1.50 kB");
  CHECK(format_bytes(Bytes(-53'900'000'000)) == "-53.9 GB");
  CHECK(format_seconds(Seconds(0.5029)) == "502.9 ms");
  CHECK(format_seconds(Seconds(1.234e-6)) == "1.23 us");
  CHECK(format_seconds(Seconds(12.3)) == "12.3 s");
  CHECK(format_seconds(Seconds(0)) == "0 s");
  CHECK(format_rate(BytesPerSecond(450e9)) == "450.0 GB/s");
  CHECK(format_rate(BytesPerSecond(kInfinity)) == "inf B/s");
  CHECK(format_rate(FlopsPerSecond(989.4e12)) == "989.4 TFLOP/s");
  CHECK(format_flops(Flops(6.2e15)) == "6.20 PFLOP");
}

TEST_CASE("rounding never prints four digits before the point", "[format]") {
  CHECK(format_seconds(Seconds(0.99996)) == "1.00 s");
  CHECK(format_bytes(Bytes(999'999)) == "1.00 MB");
  CHECK(format_bytes(Bytes(9'996'000)) == "10.0 MB");
}

TEST_CASE("counts print with separators", "[format]") {
  CHECK(format_count(8'030'261'248) == "8,030,261,248");
  CHECK(format_count(999) == "999");
  CHECK(format_count(-1000) == "-1,000");
  CHECK(format_count(0) == "0");
}

}  // namespace rehearse
