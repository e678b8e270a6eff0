// Random systems of links and flows against the characterisation of max-min fairness: rates are
// feasible, and every flow has a bottleneck (its cap, or a full link on which nobody has more).

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>
#include <numeric>
#include <vector>

#include "sim/flow/max_min.hpp"
#include "tests/bench/graphs.hpp"

using namespace rehearse;

namespace {

// Of capacities up to 100 and at most 40 flows: some thousand roundings of 1e-16.
constexpr double kTolerance = 1e-9;

struct System {
  std::vector<double> capacities;
  std::vector<std::vector<LinkId>> flows;
  std::vector<double> caps;
};

System random_system(std::uint64_t seed) {
  bench::SplitMix64 random(seed);
  System system;
  const std::int64_t links = random.between(1, 12);
  for (std::int64_t l = 0; l < links; ++l) {
    // Whole numbers, so that ties are common.
    system.capacities.push_back(static_cast<double>(random.between(0, 100)));
  }
  const std::int64_t flows = random.between(1, 40);
  for (std::int64_t f = 0; f < flows; ++f) {
    std::vector<LinkId> route;
    for (LinkId l = 0; l < links; ++l) {
      if (random.between(0, 2) == 0) route.push_back(l);
    }
    if (route.empty()) route.push_back(0);
    system.flows.push_back(route);
    system.caps.push_back(random.between(0, 3) == 0 ? static_cast<double>(random.between(0, 20))
                                                    : std::numeric_limits<double>::infinity());
  }
  return system;
}

std::vector<double> solve(const System& s) { return max_min_fair(s.capacities, s.flows, s.caps); }

std::vector<double> loads(const System& s, const std::vector<double>& rates) {
  std::vector<double> load(s.capacities.size(), 0.0);
  for (std::size_t f = 0; f < s.flows.size(); ++f) {
    for (const LinkId l : s.flows[f]) load[l] += rates[f];
  }
  return load;
}

bool has_bottleneck(const System& s, const std::vector<double>& rates, std::size_t flow) {
  if (rates[flow] >= s.caps[flow] - kTolerance) return true;
  const std::vector<double> load = loads(s, rates);
  return std::any_of(s.flows[flow].begin(), s.flows[flow].end(), [&](LinkId l) {
    if (load[l] < s.capacities[l] - kTolerance) return false;
    for (std::size_t other = 0; other < s.flows.size(); ++other) {
      const auto& route = s.flows[other];
      if (std::find(route.begin(), route.end(), l) != route.end() &&
          rates[other] > rates[flow] + kTolerance) {
        return false;
      }
    }
    return true;
  });
}

}  // namespace

TEST_CASE("max-min rates are feasible") {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    CAPTURE(seed);
    const System system = random_system(seed);
    const std::vector<double> rates = solve(system);
    const std::vector<double> load = loads(system, rates);
    for (std::size_t l = 0; l < load.size(); ++l) {
      REQUIRE(load[l] <= system.capacities[l] + kTolerance);
    }
    for (std::size_t f = 0; f < rates.size(); ++f) {
      REQUIRE(rates[f] >= 0.0);
      REQUIRE(rates[f] <= system.caps[f]);
    }
  }
}

TEST_CASE("every flow has a bottleneck") {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    CAPTURE(seed);
    const System system = random_system(seed);
    const std::vector<double> rates = solve(system);
    for (std::size_t f = 0; f < rates.size(); ++f) {
      CAPTURE(f);
      REQUIRE(has_bottleneck(system, rates, f));
    }
  }
}

TEST_CASE("the order of the flows does not change their rates") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    System system = random_system(seed);
    const std::vector<double> rates = solve(system);
    std::reverse(system.flows.begin(), system.flows.end());
    std::reverse(system.caps.begin(), system.caps.end());
    std::vector<double> reversed = solve(system);
    std::reverse(reversed.begin(), reversed.end());
    for (std::size_t f = 0; f < rates.size(); ++f) {
      REQUIRE(std::abs(rates[f] - reversed[f]) <= kTolerance);
    }
  }
}
