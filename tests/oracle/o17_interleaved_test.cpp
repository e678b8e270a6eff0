#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O17. Interleaved 1F1B: v chunks a rank, each 1/v of a stage, micro-batches in rounds of p. A rank
// computes m (tf + tb) as ever, but it waits for chunks: the first micro-batch reaches the last
// rank after (p-1) tf/v, and the last backward leaves it (p-1) tb/v before the end. So T = m (tf +
// tb) + (p-1)(tf + tb)/v; the bubble is (p-1)/(vm) of the step without it and (p-1)/(vm + p - 1) of
// the step.

using namespace rehearse;
using namespace rehearse::test;

TEST_CASE("o17: interleaving divides the bubble by v") {
  const SimTime tf(1'000'003), tb(2'000'005);  // of a chunk
  for (const auto& [p, m, v] : std::vector<std::array<int, 3>>{
           {2, 2, 2}, {2, 6, 3}, {4, 4, 2}, {4, 8, 2}, {4, 12, 4}, {8, 8, 2}, {8, 16, 3}}) {
    Ideal ideal;
    ideal.model = tiny_model(p * v);
    ideal.gpus = p;
    ideal.training = micro_batches(m);
    ideal.plan =
        fmt::format("pipeline_parallel: {}, schedule: interleaved-1f1b, virtual_stages: {}", p, v);
    const Retimed r(ideal, tf, tb);
    CAPTURE(p, m, v);
    CHECK(r.step.ps == (m * v + p - 1) * (tf.ps + tb.ps));
    CHECK(r.parts.pipeline_bubble.ps == (p - 1) * (tf.ps + tb.ps));
    const Breakdown parts = to_breakdown(r.parts);
    CHECK(bubble_over_ideal(parts) == Approx((p - 1.0) / (v * m)).epsilon(1e-12));
    CHECK(bubble_over_total(parts) == Approx((p - 1.0) / (v * m + p - 1)).epsilon(1e-12));
  }
}

TEST_CASE("o17: with one chunk a rank it is 1F1B") {
  for (const int p : {2, 4}) {
    Ideal ideal;
    ideal.model = tiny_model(p);
    ideal.gpus = p;
    ideal.training = micro_batches(2 * p);
    ideal.plan = fmt::format("pipeline_parallel: {}, schedule: interleaved-1f1b", p);
    const Retimed r(ideal, SimTime(1'000'000), SimTime(2'000'000));
    CHECK(r.step.ps == (3 * p - 1) * 3'000'000);
  }
}
