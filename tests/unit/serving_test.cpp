#include "strategies/serving/serving.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace rehearse;

namespace {

// A token of a prompt takes 1 ms, a decoding step 10 ms whatever it decodes.
StepPrices prices() {
  StepPrices p;
  p.prefill = [](std::int64_t n) { return 1e-3 * static_cast<double>(n); };
  p.decode = p.verify = p.draft = [](double, double) { return 0.01; };
  return p;
}

Server server(Batching batching, std::int64_t blocks = 1000) {
  Server s;
  s.batching = batching;
  s.blocks = blocks;
  s.max_batch_tokens = 64;
  return s;
}

std::int64_t tokens_of(const std::vector<Request>& requests) {
  std::int64_t sum = 0;
  for (const Request& r : requests) sum += r.output;
  return sum;
}

std::vector<Request> drawn(std::int64_t n) {
  Serving s;
  s.rate = 20;
  s.requests = n;
  s.prompt = {Lengths::Kind::kUniform, 0, 0, 1, 60};
  s.output = {Lengths::Kind::kExponential, 20, 0, 1, 1};
  return make_requests(s);
}

constexpr Batching kAll[] = {Batching::kStatic, Batching::kContinuous, Batching::kChunkedPrefill};

}  // namespace

TEST_CASE("serving: a request alone is a prefill and its tokens") {
  for (const Batching b : kAll) {
    const Served s = serve({{5, 50, 11}}, server(b), prices());
    CHECK(s.first_token[0] == Approx(0.05));
    CHECK(s.done[0] == Approx(0.05 + 10 * 0.01));
  }
}

TEST_CASE("serving: every request gets all its tokens, under every scheduler") {
  const std::vector<Request> requests = drawn(500);
  for (const Batching b : kAll) {
    const Served s = serve(requests, server(b), prices());
    CHECK(s.tokens == tokens_of(requests));
    CHECK(std::all_of(s.done.begin(), s.done.end(), [](double d) { return d > 0; }));
  }
}

TEST_CASE("serving: a full cache preempts the last that came, and all still end") {
  const std::vector<Request> requests = drawn(300);
  for (const Batching b : {Batching::kContinuous, Batching::kChunkedPrefill}) {
    const Served tight = serve(requests, server(b, 24), prices());
    CHECK(tight.preemptions > 0);
    CHECK(tight.peak_blocks <= 24);
    CHECK(tight.tokens == tokens_of(requests));
    CHECK(serve(requests, server(b, 10000), prices()).preemptions == 0);
  }
}

TEST_CASE("serving: a long prompt holds up decoding, in pieces it does not") {
  // One sequence decodes while a prompt of 64 tokens arrives.
  const std::vector<Request> requests{{0, 1, 40}, {0.1, 64, 1}};
  Server chunked = server(Batching::kChunkedPrefill);
  chunked.max_batch_tokens = 9;
  const Served whole = serve(requests, server(Batching::kContinuous), prices());
  const Served pieces = serve(requests, chunked, prices());
  CHECK(whole.first_token[1] < pieces.first_token[1]);
}

TEST_CASE("serving: prefill elsewhere leaves decoding alone, after the cache has come") {
  StepPrices p = prices();
  p.transfer_per_token = 1e-3;
  const Server s = server(Batching::kContinuous);
  const Served apart = serve_apart({{0, 50, 11}}, s, s, p);
  CHECK(apart.first_token[0] == Approx(0.05));
  CHECK(apart.done[0] == Approx(0.05 + 0.05 + 10 * 0.01));
  CHECK(apart.tokens == 11);
}

TEST_CASE("serving: arrivals are Poisson, and the same for the same seed") {
  const std::vector<Request> a = drawn(20000), b = drawn(20000);
  CHECK(a.back().arrival == b.back().arrival);
  CHECK(a.back().arrival == Approx(1000).epsilon(0.03));  // 20,000 at 20 a second
}
