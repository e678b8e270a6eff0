#include <catch2/catch.hpp>

#include "strategies/serving/serving.hpp"

// O45. A static batch decodes until its longest answer ends: of what it computes, sum(l) / (n max
// l) is wanted, l the tokens to decode (the first comes from prefill). Continuous batching computes
// only what is wanted.

using namespace rehearse;

namespace {

double utilisation(Batching batching) {
  StepPrices prices;
  prices.products = [](std::int64_t) { return 1.0; };
  prices.attention = [](std::int64_t, std::int64_t) { return 0.0; };
  prices.decode = [](double, double) { return 1.0; };
  Server server;
  server.batching = batching;
  server.blocks = 100000;
  std::vector<Request> requests;
  for (const std::int64_t l : {10, 20, 30, 100}) requests.push_back({0, 16, l + 1});
  const Served served = serve(requests, server, prices);
  return served.occupied / served.slots;
}

}  // namespace

TEST_CASE("o45: a static batch uses sum / (n max) of what it computes") {
  CHECK(utilisation(Batching::kStatic) == Approx(160.0 / 400));
}

TEST_CASE("o45: continuous batching uses all of it") {
  CHECK(utilisation(Batching::kContinuous) == 1);
  CHECK(utilisation(Batching::kChunkedPrefill) == 1);
}
