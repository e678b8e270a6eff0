// O24: ring attention (Liu et al. 2023). A rank keeps the queries of its s/P tokens; keys and
// values of s/P tokens, S = 2 * 2 * b * (s/P) * h bytes (bf16, multi-head), visit it one part after
// the other: P - 1 hops a layer in forward. Backward needs them once more, and their gradients, as
// large, follow one hop behind until they are home: 2 (P - 1) S bytes in P messages, of S, 2S, ...,
// 2S, S.
//
// A message goes while the part at hand is computed, and the next part starts when both are done.
// Idealised, with a the time of one part's attention, c(x) = latency + x/B, and backward 2.5 times
// forward (five products instead of two):
//   forward   (P - 1) max(a, c(S)) + a
//   backward  2 max(2.5 a, c(S)) + (P - 2) max(2.5 a, c(2S))
// so that links add 0 where a >= c, and the difference of every hop where they are slower.
//
// A causal mask is balanced: the sequence is cut into 2P chunks, rank r has r and 2P - 1 - r, and
// each of its hops has half of the pairs. All of attention is s^2/2 pairs, an even share of which
// is what a rank computes. Gathering keys (Llama 3) does the same with two kernels.

#include "tests/unit/context_scenarios.hpp"

namespace rehearse {
namespace {

using namespace context_test;

TEST_CASE("O24 keys and values make P - 1 hops in forward and, with their gradients, in backward") {
  for (const int ranks : {2, 4, 8}) {
    ContextScenario c;
    c.method = "ring";
    c.ranks = ranks;
    const ContextTraffic t = traffic_of(c.run(), "send_recv", "cp");
    const std::int64_t block = 2 * 2 * c.batch * (c.length / ranks) * c.hidden;
    CHECK(t.count == c.layers * (ranks - 1 + ranks));
    CHECK(t.payload == c.layers * 3 * (ranks - 1) * block);
    CHECK(t.wire == t.payload);
  }
}

TEST_CASE("O24 a hop takes the longer of attention and message") {
  ContextScenario c;
  c.method = "ring";
  c.ranks = 4;
  c.causal = false;
  const Seconds free = c.run().report.step_time;
  const double part = static_cast<double>(c.length / 4);
  const double a = 4.0 * static_cast<double>(c.batch * c.hidden) * part * part / kContextPeak;
  const double block = 4.0 * static_cast<double>(c.batch * c.hidden) * part;
  const auto longer = [](double work, double message) { return std::max(0.0, message - work); };
  for (const double bandwidth : {1e12, 2e9, 1e9, 0.1e9}) {
    c.link = fmt::format("bandwidth: {} GB/s, latency: 1 us", bandwidth / 1e9);
    const Simulation s = c.run();
    const double one = 1e-6 + block / bandwidth, two = 1e-6 + 2 * block / bandwidth;
    const double layer = 3 * longer(a, one) + 2 * longer(2.5 * a, one) + 2 * longer(2.5 * a, two);
    const ContextTraffic reduction = traffic_of(s, "all_reduce", "dp");
    CHECK(
        (s.report.step_time - free).value ==
        Approx(static_cast<double>(c.layers) * layer + reduction.time).epsilon(1e-6).margin(1e-10));
    CHECK(traffic_of(s, "send_recv", "cp").exposed ==
          Approx(static_cast<double>(c.layers) * layer).epsilon(1e-6).margin(1e-10));
  }
}

TEST_CASE("O24 P ranks share the work of a sequence evenly, causal or not") {
  for (const char* method : {"ring", "all_gather", "ulysses"})
    for (const bool causal : {true, false}) {
      ContextScenario c;
      c.method = method;
      c.causal = causal;
      c.ranks = 4;
      const double split = c.run().report.step_time.value;
      c.ranks = 1;
      INFO(method << (causal ? " causal" : " not causal"));
      CHECK(c.run().report.step_time.value == Approx(4 * split).epsilon(1e-9));
    }
}

TEST_CASE("O24 gathered keys and values: one all-gather each, and a reduce-scatter of gradients") {
  ContextScenario c;
  c.method = "all_gather";
  c.ranks = 4;
  const Simulation s = c.run();
  const std::int64_t whole = 2 * c.batch * c.length * c.hidden;
  for (const char* operation : {"all_gather", "reduce_scatter"}) {
    const ContextTraffic t = traffic_of(s, operation, "cp");
    CHECK(t.count == 2 * c.layers);
    CHECK(t.payload == 2 * c.layers * whole);
    CHECK(t.wire == 2 * c.layers * whole * 3 / 4);
  }
}

}  // namespace
}  // namespace rehearse
