// Max-min fair shares of small systems, derived by hand. Capacities and expectations are chosen so
// that the shares are exact in binary, except where a tolerance is stated.

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "sim/flow/max_min.hpp"

using namespace rehearse;

namespace {

using Flows = std::vector<std::vector<LinkId>>;
using Rates = std::vector<double>;
constexpr double kNoCap = std::numeric_limits<double>::infinity();

Rates shares(const Rates& capacities, const Flows& flows, const Rates& caps = {}) {
  return max_min_fair(capacities, flows, caps);
}

}  // namespace

TEST_CASE("one flow takes the whole link") {
  // C = {8}; f0: {0}.
  CHECK(shares({8.0}, {{0}}) == Rates{8.0});
}

TEST_CASE("flows on one link share it equally") {
  // C = {8}; four flows on it: 8 / 4 each.
  CHECK(shares({8.0}, {{0}, {0}, {0}, {0}}) == Rates{2.0, 2.0, 2.0, 2.0});
}

TEST_CASE("a flow has the smallest share along its route") {
  // C = {8, 2}; f0: {0, 1}. Link 1 fills at 2.
  CHECK(shares({8.0, 2.0}, {{0, 1}}) == Rates{2.0});
}

TEST_CASE("what a flow cannot use goes to the others") {
  // C = {8, 2}; f0: {0}, f1: {0, 1}. Link 1 stops f1 at 2; f0 goes on to 8 - 2 = 6.
  CHECK(shares({8.0, 2.0}, {{0}, {0, 1}}) == Rates{6.0, 2.0});
}

TEST_CASE("a flow across a line of links shares each with a local flow") {
  // The parking lot: C = {1, 1, 1}; f0 crosses all three, f1..f3 one each. All links fill at 1/2.
  CHECK(shares({1.0, 1.0, 1.0}, {{0, 1, 2}, {0}, {1}, {2}}) == Rates{0.5, 0.5, 0.5, 0.5});
}

TEST_CASE("links fill one after the other") {
  // C = {6, 8, 10}. f0: {0}, f1: {0}, f2: {0, 1}, f3: {1, 2}, f4: {2}.
  // Link 0 with three flows fills at 2: f0 = f1 = f2 = 2. Link 1 has 8 - 2 = 6 for f3 alone; link 2
  // has 10 for f3 and f4 and fills at 5: f3 = f4 = 5. Link 1 keeps 1 to spare.
  CHECK(shares({6.0, 8.0, 10.0}, {{0}, {0}, {0, 1}, {1, 2}, {2}}) ==
        Rates{2.0, 2.0, 2.0, 5.0, 5.0});
}

TEST_CASE("a capped flow leaves the rest to the others") {
  // C = {9}; three flows, the first capped at 1: the others share 8.
  CHECK(shares({9.0}, {{0}, {0}, {0}}, {1.0, kNoCap, kNoCap}) == Rates{1.0, 4.0, 4.0});
}

TEST_CASE("a cap above the fair share changes nothing") {
  CHECK(shares({8.0}, {{0}, {0}}, {5.0, kNoCap}) == Rates{4.0, 4.0});
}

TEST_CASE("a flow that crosses a link twice uses it twice") {
  // C = {9}; f0: {0, 0}, f1: {0}. Three crossings fill the link at 3.
  CHECK(shares({9.0}, {{0, 0}, {0}}) == Rates{3.0, 3.0});
}

TEST_CASE("a link without capacity stops its flows and no others") {
  // C = {0, 4}; f0: {0, 1}, f1: {1}.
  CHECK(shares({0.0, 4.0}, {{0, 1}, {1}}) == Rates{0.0, 4.0});
}

TEST_CASE("a flow that crosses nothing has its cap") {
  CHECK(shares({1.0}, {{}}, {3.0}) == Rates{3.0});
  CHECK(std::isinf(shares({1.0}, {{}})[0]));
}

TEST_CASE("no flows, no rates") { CHECK(shares({1.0}, {}).empty()); }

TEST_CASE("shares of a third are right to the last bits") {
  // C = {1, 10}; f0, f1, f2: {0}, f3: {1} with f2 also on 1: 1/3 each, then 10 - 1/3.
  const Rates rates = shares({1.0, 10.0}, {{0}, {0}, {0, 1}, {1}});
  CHECK(rates[0] == Approx(1.0 / 3.0).epsilon(1e-15));
  CHECK(rates[2] == rates[0]);
  CHECK(rates[3] == Approx(10.0 - 1.0 / 3.0).epsilon(1e-15));
}

TEST_CASE("a system that makes no sense is a logic error") {
  CHECK_THROWS_AS(shares({1.0}, {{1}}), std::logic_error);
  CHECK_THROWS_AS(shares({-1.0}, {{0}}), std::logic_error);
  CHECK_THROWS_AS(shares({kNoCap}, {{0}}), std::logic_error);
  CHECK_THROWS_AS(shares({1.0}, {{0}}, {1.0, 1.0}), std::logic_error);
  CHECK_THROWS_AS(shares({1.0}, {{0}}, {-1.0}), std::logic_error);
}
