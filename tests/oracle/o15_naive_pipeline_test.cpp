#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O15. With one micro-batch a pipeline of p stages works on one stage at a time: a step takes
// p (tf + tb), of which each rank computes tf + tb, so its utilisation is 1/p.

using namespace rehearse;
using namespace rehearse::test;

TEST_CASE("o15: one micro-batch uses each of p stages 1/p of the time") {
  const SimTime tf(1'000'000), tb(2'000'000);
  for (const char* schedule : {"gpipe", "1f1b"}) {
    for (const int p : {1, 2, 4, 8}) {
      Ideal ideal;
      ideal.model = tiny_model(p);
      ideal.gpus = p;
      ideal.training = micro_batches(1);
      ideal.plan = fmt::format("pipeline_parallel: {}, schedule: {}", p, schedule);
      const Retimed r(ideal, tf, tb);
      CHECK(r.step.ps == p * (tf.ps + tb.ps));
      CHECK(r.parts.compute.ps == tf.ps + tb.ps);
      CHECK(r.parts.compute.ps * p == r.step.ps);
      CHECK(r.parts.pipeline_bubble.ps == (p - 1) * (tf.ps + tb.ps));
    }
  }
}
