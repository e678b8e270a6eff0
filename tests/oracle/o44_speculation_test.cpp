#include <catch2/catch.hpp>
#include <cmath>

#include "strategies/serving/serving.hpp"

// O44. A draft of g tokens, each accepted with probability a until the first that is not, gives
// E = (1 - a^(g+1)) / (1 - a) tokens a step. Where the draft model costs c of the target's step,
// and checking g + 1 tokens what one does, decoding is E / (g c + 1) times as fast (Leviathan et
// al.).

using namespace rehearse;

namespace {

double time_per_token(int draft, double acceptance, double cost) {
  StepPrices prices;
  prices.products = [](std::int64_t) { return 1.0; };
  prices.attention = [](std::int64_t, std::int64_t) { return 0.0; };
  prices.decode = [](double, double) { return 1.0; };
  prices.draft = [cost](double, double) { return cost; };
  Server server;
  server.blocks = 100000;
  server.draft_tokens = draft;
  server.acceptance = acceptance;
  const std::vector<Request> requests{{0, 10, 200001}};
  const Served served = serve(requests, server, prices);
  return (served.done[0] - served.first_token[0]) / 200000;
}

}  // namespace

TEST_CASE("o44: speculation is E / (g c + 1) times as fast") {
  const double plain = time_per_token(0, 0, 0);
  CHECK(plain == Approx(1));
  for (const int g : {1, 4, 8})
    for (const double a : {0.5, 0.8})
      for (const double c : {0.05, 0.3}) {
        const double expected = (1 - std::pow(a, g + 1)) / (1 - a) / (g * c + 1);
        CAPTURE(g, a, c);
        CHECK(plain / time_per_token(g, a, c) == Approx(expected).epsilon(0.01));
      }
}

TEST_CASE("o44: with everything accepted g + 1 tokens come out") {
  CHECK(time_per_token(3, 1, 0) == Approx(0.25).epsilon(1e-4));
}
