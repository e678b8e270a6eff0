#include <catch2/catch.hpp>

#include "models/op_graph.hpp"
#include "tests/oracle/ideal.hpp"

// O16. GPipe and 1F1B with m micro-batches over p stages, messages free.
// The last stage gets its first micro-batch after (p-1) tf and is then busy with all m of them,
// m (tf + tb), forwards first (GPipe) or in turn with backwards (1F1B); the first stage is done
// (p-1) tb later. So T = (m + p - 1)(tf + tb): a rank computes m (tf + tb) and waits for
// (p-1)(tf + tb), which is (p-1)/(m+p-1) of the step and (p-1)/m of the step without its bubble.

using namespace rehearse;
using namespace rehearse::test;

namespace {

Ideal pipeline(const char* schedule, int p, int m, int layers) {
  Ideal ideal;
  ideal.model = tiny_model(layers);
  ideal.gpus = p;
  ideal.training = micro_batches(m);
  ideal.plan = fmt::format("pipeline_parallel: {}, schedule: {}", p, schedule);
  return ideal;
}

}  // namespace

TEST_CASE("o16: a step of GPipe and 1F1B takes (m + p - 1)(tf + tb)") {
  const SimTime tf(1'000'003), tb(2'100'001);
  for (const char* schedule : {"gpipe", "1f1b"}) {
    for (const auto& [p, m] : std::vector<std::pair<int, int>>{
             {2, 1}, {2, 7}, {4, 2}, {4, 8}, {8, 8}, {8, 32}, {5, 13}}) {
      const Retimed r(pipeline(schedule, p, m, p), tf, tb);
      CAPTURE(schedule, p, m);
      CHECK(r.step.ps == (m + p - 1) * (tf.ps + tb.ps));
      CHECK(r.parts.compute.ps == m * (tf.ps + tb.ps));
      CHECK(r.parts.pipeline_bubble.ps == (p - 1) * (tf.ps + tb.ps));
    }
  }
}

TEST_CASE("o16: stages of several layers take the sum of their layers") {
  const SimTime tf(1'000'000), tb(3'000'000);
  const Retimed r(pipeline("1f1b", 4, 8, 12), tf, tb);
  CHECK(r.step.ps == (8 + 4 - 1) * 3 * (tf.ps + tb.ps));
}

TEST_CASE("o16: the two conventions of the bubble") {
  for (const int m : {8, 32, 64, 133}) {
    const Retimed r(pipeline("1f1b", 8, m, 8), SimTime(1'000'000), SimTime(2'000'000));
    const Breakdown parts = to_breakdown(r.parts);
    CHECK(bubble_over_total(parts) == Approx(7.0 / (m + 7)).epsilon(1e-12));
    CHECK(bubble_over_ideal(parts) == Approx(7.0 / m).epsilon(1e-12));
  }
}

// The whole simulator, kernels priced. A layer of hidden size h and sequence s, one sequence and
// intermediate size h: q, k, v, o 8 s h^2, gated FFN 6 s h^2, scores and context 4 s^2 h forward,
// and twice that backward. The last stage also has the logits of a vocabulary of one, 2 s h
// forward: it is the slowest and never waits after its first micro-batch, so
//   T = (p-1)(tf + tb) + m (tf + tb + head).
TEST_CASE("o16: the priced model, with the head's time on the last stage") {
  const double s = 64, h = 64;
  const double layer = 3 * (14 * s * h * h + 4 * s * s * h) / kIdealPeak;
  const double head = 3 * 2 * s * h / kIdealPeak;
  for (const char* schedule : {"gpipe", "1f1b"}) {
    const int p = 4, m = 8;
    const Simulation r = simulate(pipeline(schedule, p, m, 8));
    const double closed = (p - 1) * 2 * layer + m * (2 * layer + head);
    // Every kernel is rounded to a picosecond: 25 of them a layer, 11 x 2 layers on the path.
    CHECK(r.report.step_time.value == Approx(closed).margin(25 * 22 * 0.5e-12));
  }
}
