#include "sim/base/huge_pages.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

using namespace rehearse;

TEST_CASE("vectors on huge pages are as others: small, large, empty and grown in place") {
  for (const std::size_t size : {0U, 1U, 1000U, 3'000'000U}) {
    std::vector<int> v;
    resize_large(v, size);
    CHECK(v == std::vector<int>(size));
    std::fill(v.begin(), v.end(), 7);
    resize_large(v, size + 1);
    REQUIRE(v.size() == size + 1);
    CHECK(std::count(v.begin(), v.end(), 7) == static_cast<std::ptrdiff_t>(size));
    CHECK(v.back() == 0);
  }
  std::vector<int> v;
  reserve_large(v, 3'000'000);
  const int* const memory = v.data();
  v.resize(3'000'000, 7);
  CHECK(v.data() == memory);
}
