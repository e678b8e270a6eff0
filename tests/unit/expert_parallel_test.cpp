#include "strategies/expert/expert_parallel.hpp"

#include <catch2/catch.hpp>
#include <numeric>

#include "strategies/expert/load.hpp"
#include "tests/unit/runtime_scenarios.hpp"

using namespace rehearse;

namespace {

std::int64_t sum(const std::vector<std::int64_t>& rows) {
  return std::accumulate(rows.begin(), rows.end(), std::int64_t{0});
}

ExpertLoad zipf(double exponent, std::int64_t seed = 1) {
  return {LoadDistribution::kZipf, exponent, seed};
}

}  // namespace

TEST_CASE("expert load: rows add up, and no expert gets a token twice", "[experts]") {
  for (const double exponent : {0.0, 0.5, 1.0, 3.0})
    for (const std::int64_t k : {1, 2, 7}) {
      CAPTURE(exponent, k);
      const auto rows = expert_rows(zipf(exponent), 1000 * k, 1000, 8);
      CHECK(sum(rows) == 1000 * k);
      CHECK(*std::max_element(rows.begin(), rows.end()) <= 1000);
    }
}

TEST_CASE("expert load: the seed draws which experts are wanted, not how much", "[experts]") {
  auto a = expert_rows(zipf(1, 1), 10000, 10000, 16), b = expert_rows(zipf(1, 2), 10000, 10000, 16);
  CHECK(a != b);
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= 1);
}

TEST_CASE("expert load: the fullest rank stands for all", "[experts]") {
  CHECK(fullest_rank({5, 1, 4, 4, 2, 2}, 3) == std::vector<std::int64_t>{4, 4});
  // Fewer rows than experts go to experts that lie apart.
  CHECK(expert_rows({}, 4, 4, 8) == std::vector<std::int64_t>{1, 0, 1, 0, 1, 0, 1, 0});
  CHECK(expert_rows({}, 10, 10, 8) == std::vector<std::int64_t>{2, 1, 1, 1, 2, 1, 1, 1});
}

// The chance that a number of rows is new falls with every draw; where rows spread further, fewer
// have been there; where every token goes to every expert, all are alike.
TEST_CASE("expert load: numbers of rows that a benchmark has not had", "[experts]") {
  CHECK(unseen_rows(1024, 4096, 64) > unseen_rows(1024, 4096, 128));
  CHECK(unseen_rows(4096, 16384, 64) > unseen_rows(1024, 4096, 64));
  CHECK(unseen_rows(1024, 4096, 0) == Approx(1).margin(1e-3));
  CHECK(unseen_rows(4096, 4096, 64) == 0);
}

TEST_CASE("expert parallelism: groups are innermost, replicas of experts the rest", "[experts]") {
  ResolvedPlan plan;
  plan.data = 8;
  plan.tensor = 2;
  plan.expert = 4;
  plan.expert_tensor = 2;
  std::vector<int> ranks(16);
  std::iota(ranks.begin(), ranks.end(), 0);
  CHECK(expert_group(plan, ranks, 5) == std::vector<int>{1, 3, 5, 7});
  CHECK(expert_replicas(plan, ranks, 5) == std::vector<int>{5, 13});
  CHECK(plan.expert_replicas() == 2);
}
