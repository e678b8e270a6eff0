#include "hardware/ratio_table.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <stdexcept>
#include <string>

using namespace rehearse;

namespace {

// log2 ratios 0, 1 / 2, 3 at (1, 4), (1, 16) / (8, 4), (8, 16), in units of 1/4096.
RatioGrid two_by_two() { return {{{1, 8}, {4, 16}}, {0, 4096, 8192, 12288}}; }

double at(const RatioInterpolator& table, std::int64_t x, std::int64_t y) {
  const std::array<std::int64_t, 2> sizes = {x, y};
  return table.log2_ratio(sizes);
}

}  // namespace

TEST_CASE("a ratio table is linear in the logarithm of each size") {
  const RatioInterpolator table(two_by_two());
  CHECK(at(table, 1, 4) == 0);
  CHECK(at(table, 8, 16) == Approx(3));
  CHECK(at(table, 1, 8) == Approx(0.5));
  CHECK(at(table, 2, 4) == Approx(2.0 / 3));
  CHECK(at(table, 4, 8) == Approx(4.0 / 3 + 0.5));
}

TEST_CASE("a ratio table keeps the edge's value beyond its grid") {
  const RatioInterpolator table(two_by_two());
  CHECK(at(table, 1000, 1000) == Approx(3));
  CHECK(at(table, 1, 1) == 0);
}

TEST_CASE("a ratio table survives being written and read") {
  const RatioGrid read = decode_ratio_grid(encode(two_by_two()));
  CHECK(read.axes == two_by_two().axes);
  CHECK(read.values == two_by_two().values);
}

TEST_CASE("a damaged ratio table is refused") {
  const std::string bytes = encode(two_by_two());
  CHECK_THROWS_AS(decode_ratio_grid(bytes.substr(0, bytes.size() - 1)), std::runtime_error);
  CHECK_THROWS_AS(decode_ratio_grid(bytes + "x"), std::runtime_error);
  CHECK_THROWS_AS(decode_ratio_grid("RHGEMM1\n"), std::runtime_error);
}
