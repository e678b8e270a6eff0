#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <stdexcept>

#include "sim/engine/work.hpp"

using namespace rehearse;

TEST_CASE("a rate of up to nine decimals is exact") {
  CHECK(to_rate_parts(1.0) == 1'000'000'000U);
  CHECK(to_rate_parts(0.9) == 900'000'000U);
  CHECK(to_rate_parts(0.123456789) == 123'456'789U);
}

TEST_CASE("a rate below the resolution is the smallest one, not zero") {
  CHECK(to_rate_parts(1e-12) == 1U);
}

TEST_CASE("work of nine seconds at nine tenths takes ten seconds to the picosecond") {
  const Work work{9'000'000'000'000, 0};
  CHECK(work.time_left(to_rate_parts(0.9)) == 10'000'000'000'000);
}

TEST_CASE("progress keeps what is smaller than a picosecond") {
  // 5 - 3 * 0.3 = 4.1; at rate 0.3 that takes 13.67 ps, hence 14.
  Work work{5, 0};
  work.advance(3, to_rate_parts(0.3));
  CHECK(work.whole_ps == 4);
  CHECK(work.billionths == 100'000'000);
  CHECK(work.time_left(to_rate_parts(0.3)) == 14);
}

TEST_CASE("ten days of work leave no error") {
  // 10 days = 864'000 s = 864e15 ps, of which 864e15 - 1 elapse at rate 1/3 (333'333'333 parts):
  // (864e15 - 1) * 0.333333333 = 287'999'999'711'999'999.666666667 are done.
  const std::int64_t ten_days = 864'000'000'000'000'000;
  Work work{ten_days, 0};
  work.advance(ten_days - 1, 333'333'333);
  CHECK(work.whole_ps == ten_days - 287'999'999'712'000'000);
  CHECK(work.billionths == 333'333'333);
}

TEST_CASE("a time left past the range of simulated time is an overflow") {
  const Work work{std::numeric_limits<std::int64_t>::max() / 2, 0};
  CHECK_THROWS_AS(work.time_left(to_rate_parts(0.1)), std::overflow_error);
}
