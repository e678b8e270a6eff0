// O23: Ulysses (Jacobs et al. 2023). A rank has s/P tokens of every sequence. Before attention, q,
// k and v (b s/P tokens of h numbers each) go from "a part of the sequence, all heads" to "the
// whole sequence, h/P columns of the heads", and attention's result comes back: 4 all-to-alls a
// layer in forward, each of a buffer of 2 b (s/P) h bytes (bf16), of which (P-1)/P leave the rank.
// Backward is the reverse of each: 4 more. With grouped queries k and v have kv/heads of the bytes.
//
// Idealised, an all-to-all of S bytes takes (P-1) a + (P-1)/P S/B (O9) and blocks the compute
// stream, so a layer takes 2 sum((P-1) a + (P-1)/P S_i/B) longer than on links that cost nothing. P
// must divide the heads.

#include "sim/base/error.hpp"
#include "tests/unit/context_scenarios.hpp"

namespace rehearse {
namespace {

using namespace context_test;

TEST_CASE("O23 Ulysses exchanges q, k, v and o of a layer in forward and in backward") {
  for (const int ranks : {2, 4, 8}) {
    ContextScenario c;
    c.method = "ulysses";
    c.ranks = ranks;
    const Simulation s = c.run();
    const ContextTraffic t = traffic_of(s, "all_to_all", "cp");
    const std::int64_t one = 2 * c.batch * (c.length / ranks) * c.hidden;
    CHECK(t.count == 8 * c.layers);
    CHECK(t.payload == 8 * c.layers * one);
    CHECK(t.wire == 8 * c.layers * one * (ranks - 1) / ranks);
  }
}

TEST_CASE("O23 all-to-alls block the compute stream") {
  ContextScenario c;
  c.method = "ulysses";
  c.ranks = 4;
  const Seconds free = c.run().report.step_time;
  c.link = "bandwidth: 10 GB/s, latency: 3 us";
  const Simulation s = c.run();
  const double one = 2.0 * static_cast<double>(c.batch * (c.length / 4) * c.hidden);
  const double exchange = 3 * 3e-6 + 0.75 * one / 10e9;
  // What comes after backward, the reduction of gradients over the same ranks, takes time too.
  const double reduction = traffic_of(s, "all_reduce", "dp").time;
  CHECK((s.report.step_time - free).value ==
        Approx(8.0 * static_cast<double>(c.layers) * exchange + reduction).epsilon(1e-9));
}

TEST_CASE("O23 grouped queries exchange smaller keys and values") {
  ContextScenario c;
  c.method = "ulysses";
  c.ranks = 2;
  c.kv_heads = 2;
  const ContextTraffic t = traffic_of(c.run(), "all_to_all", "cp");
  const std::int64_t one = 2 * c.batch * (c.length / 2) * c.hidden;
  CHECK(t.payload == 2 * c.layers * (2 * one + 2 * one * 2 / c.heads));
}

TEST_CASE("O23 Ulysses with tensor parallelism exchanges the heads of one rank") {
  ContextScenario c;
  c.method = "ulysses";
  c.ranks = 2;
  c.more_plan = "tensor_parallel: 2, sequence_parallel: true";
  c.gpus = 4;
  const ContextTraffic t = traffic_of(c.run(), "all_to_all", "cp");
  CHECK(t.payload == 8 * c.layers * 2 * c.batch * (c.length / 2) * c.hidden / 2);
}

TEST_CASE("O23 more ranks than heads are refused") {
  ContextScenario c;
  c.method = "ulysses";
  c.ranks = 16;
  CHECK_THROWS_WITH(c.run(), Catch::Contains("8 heads (of one rank)") &&
                                 Catch::Contains("do not divide by context_parallel 16"));
}

}  // namespace
}  // namespace rehearse
