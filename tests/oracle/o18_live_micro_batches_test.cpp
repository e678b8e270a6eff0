#include <algorithm>
#include <catch2/catch.hpp>

#include "strategies/schedules/schedule.hpp"
#include "tests/oracle/ideal.hpp"

// O18. The most micro-batches (of one chunk each) that rank r of p keeps between their forward and
// their backward.
// GPipe runs all m forwards first: m on every rank. 1F1B runs p-r-1 ahead and one more before the
// first backward: min(m, p-r). Interleaved over v chunks a rank runs 2 (p-r-1) + (v-1) p ahead and
// one more: min(m v, 2 (p-r-1) + (v-1) p + 1); a chunk is 1/v of a stage, so rank 0 keeps
// p (1 + (p-1)/(p v)) micro-batches.

using namespace rehearse;
using namespace rehearse::test;

namespace {

int formula(const std::string& schedule, int p, int r, int m, int v) {
  if (schedule == "gpipe") return m;
  if (v == 1) return std::min(m, p - r);
  return std::min(m * v, 2 * (p - r - 1) + (v - 1) * p + 1);
}

int most_live(const std::vector<Action>& actions) {
  int now = 0, most = 0;
  for (const Action& a : actions) {
    now += a.kind == ActionKind::kForward ? 1 : -1;
    most = std::max(most, now);
  }
  CHECK(now == 0);
  return most;
}

struct Case {
  const char* schedule;
  int p, m, v;
};

const Case kCases[] = {{"gpipe", 4, 8, 1},
                       {"gpipe", 8, 3, 1},
                       {"1f1b", 2, 1, 1},
                       {"1f1b", 4, 2, 1},
                       {"1f1b", 4, 8, 1},
                       {"1f1b", 8, 32, 1},
                       {"interleaved-1f1b", 4, 4, 2},
                       {"interleaved-1f1b", 4, 8, 2},
                       {"interleaved-1f1b", 4, 16, 3},
                       {"interleaved-1f1b", 8, 8, 2},
                       {"interleaved-1f1b", 2, 2, 4}};

}  // namespace

TEST_CASE("o18: micro-batches alive in the schedules' lists of actions") {
  for (const Case& c : kCases)
    for (int r = 0; r < c.p; ++r) {
      CAPTURE(c.schedule, c.p, c.m, c.v, r);
      CHECK(most_live(find_schedule(c.schedule)->actions({c.p, r, c.m, c.v})) ==
            formula(c.schedule, c.p, r, c.m, c.v));
    }
}

TEST_CASE("o18: rank 0 of an interleaved pipeline keeps p (1 + (p-1)/(p v)) micro-batches") {
  for (const auto& [p, v] : std::vector<std::pair<int, int>>{{4, 2}, {8, 2}, {8, 4}}) {
    const double chunks = most_live(find_schedule("interleaved-1f1b")->actions({p, 0, 4 * p, v}));
    CHECK(chunks / v == Approx(p * (1 + (p - 1.0) / (p * v))).epsilon(1e-12));
  }
}

// In bytes. A layer keeps A = s b h (34 + 5 a s/h) (O30) and 16 s b of norm statistics; a stage
// keeps its output, 2 s b h, until the gradient of it returns; the first one also its embedding's
// dropout mask, s b h, and the last one, instead of an output, the input of the final norm and of
// the logits, 2 s b h each, the log-probabilities, 4 s b V, and the norm's statistics, 8 s b. Of
// several chunks a rank only one has the embedding or the head.
TEST_CASE("o18: micro-batches alive in the simulated ranks' memory") {
  const std::int64_t s = 128, h = 256, heads = 4, vocabulary = 128;
  const std::int64_t layer = s * h * 34 + 5 * heads * s * s + 16 * s;
  const std::int64_t output = 2 * s * h, mask = s * h;
  const std::int64_t head = 4 * s * h + 4 * s * vocabulary + 8 * s;
  for (const Case& c : kCases) {
    Ideal ideal;
    ideal.model = fmt::format(
        "{{model_type: gpt2, n_layer: {}, n_embd: {}, n_head: {}, n_positions: {}, vocab_size: "
        "{}}}",
        c.p * c.v, h, heads, s, vocabulary);
    ideal.gpus = c.p;
    ideal.training = fmt::format(
        "sequence_length: {}, micro_batch_size: 1, global_batch_size: {}, dropout: 0.1", s, c.m);
    ideal.plan = fmt::format("pipeline_parallel: {}, schedule: {}, virtual_stages: {}", c.p,
                             c.schedule, c.v);
    const Simulation sim = simulate(ideal);
    for (int r = 0; r < c.p; ++r) {
      const std::int64_t live = live_activations(sim, static_cast<std::size_t>(r));
      const std::int64_t n = formula(c.schedule, c.p, r, c.m, c.v);
      CAPTURE(c.schedule, c.p, c.m, c.v, r);
      if (r > 0 && r + 1 < c.p) {
        CHECK(live == n * (layer + output));
      } else if (c.v == 1) {
        CHECK(live == n * (layer + (r == 0 ? output + mask : head)));
      } else {
        CHECK(live > n * (layer + (r == 0 ? output : 0)));
        CHECK(live <= n * (layer + (r == 0 ? output + mask : head)));
      }
    }
  }
}
