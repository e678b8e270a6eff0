#include "strategies/serving/serving.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

using namespace rehearse;

namespace {

// A token of a prompt takes 1 ms, a decoding step 10 ms whatever it decodes.
StepPrices prices() {
  StepPrices p;
  p.products = [](std::int64_t n) { return 1e-3 * static_cast<double>(n); };
  p.attention = [](std::int64_t, std::int64_t) { return 0.0; };
  p.decode = p.draft = [](double, double) { return 0.01; };
  p.transfer = [](int, int, std::int64_t n) { return 1e-3 * static_cast<double>(n); };
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

TEST_CASE("serving: a piece of a prompt attends to the pieces before it") {
  // Attention alone takes time: a microsecond for each pair of a query and a key.
  StepPrices p = prices();
  p.products = [](std::int64_t) { return 0.0; };
  p.attention = [](std::int64_t queries, std::int64_t keys) {
    const auto q = static_cast<double>(queries), k = static_cast<double>(keys);
    return 1e-6 * (q * (k - q) + q * (q + 1) / 2);
  };
  for (const std::int64_t piece : {64, 16, 5}) {
    Server s = server(Batching::kChunkedPrefill);
    s.max_batch_tokens = piece;
    const Served served = serve({{0, 64, 1}}, s, p);
    CHECK(served.steps == (64 + piece - 1) / piece);
    CHECK(served.first_token[0] == Approx(1e-6 * 64 * 65 / 2));
  }
}

TEST_CASE("serving: prompts that are prefilled together do not attend to each other") {
  StepPrices p = prices();
  p.attention = [](std::int64_t queries, std::int64_t keys) {
    return queries == keys ? 0.1 * static_cast<double>(queries) : 1e9;
  };
  for (const Batching b : {Batching::kStatic, Batching::kContinuous}) {
    const Served s = serve({{0, 10, 1}, {0, 20, 1}}, server(b), p);
    CHECK(s.steps == 1);
    CHECK(s.first_token[1] == Approx(0.03 + 1 + 2));
  }
}

TEST_CASE("serving: prefill elsewhere leaves decoding alone, after the cache has come") {
  const Server s = server(Batching::kContinuous);
  const Served apart = serve({{0, 50, 11}}, s, prices(), {2, 1});
  CHECK(apart.first_token[0] == Approx(0.05));
  CHECK(apart.done[0] == Approx(0.05 + 0.05 + 10 * 0.01));
  CHECK(apart.tokens == 11);
}

TEST_CASE("serving: caches leave a server one after the other") {
  // Both prompts are prefilled in one step of 0.06 s; the second cache waits for the first, and
  // decodes on the server that has nothing yet.
  const Server s = server(Batching::kContinuous);
  const Served apart = serve({{0, 30, 2}, {0, 30, 2}}, s, prices(), {3, 1});
  CHECK(apart.done[0] == Approx(0.06 + 0.03 + 0.01));
  CHECK(apart.done[1] == Approx(0.06 + 0.06 + 0.01));
}

TEST_CASE("serving: servers share what arrives, and each request is served once") {
  const std::vector<Request> requests = drawn(500);
  const Served one = serve(requests, server(Batching::kContinuous), prices());
  for (const Fleet fleet : {Fleet{4, 0}, Fleet{4, 1}, Fleet{5, 3}}) {
    const Served s = serve(requests, server(Batching::kContinuous), prices(), fleet);
    CHECK(s.tokens == tokens_of(requests));
    CHECK(std::all_of(s.done.begin(), s.done.end(), [](double d) { return d > 0; }));
    CHECK(s.end < 1.05 * one.end);
  }
}

TEST_CASE("serving: the same requests are served the same way again") {
  const std::vector<Request> requests = drawn(300);
  Server s = server(Batching::kChunkedPrefill, 40);
  s.draft_tokens = 3;
  s.acceptance = 0.7;
  const Served a = serve(requests, s, prices(), {2, 0}), b = serve(requests, s, prices(), {2, 0});
  CHECK(a.done == b.done);
  CHECK(a.preemptions == b.preemptions);
}

TEST_CASE("serving: arrivals are Poisson, and the same for the same seed") {
  const std::vector<Request> a = drawn(20000), b = drawn(20000);
  CHECK(a.back().arrival == b.back().arrival);
  CHECK(a.back().arrival == Approx(1000).epsilon(0.03));  // 20,000 at 20 a second
}
