#include <catch2/catch.hpp>

#include "tests/unit/model_test_support.hpp"

// O33. FLOPs of a GPT's step by its matrix products, a multiply-add as two, attention not causal.
// Forward, per layer and B sequences of s: q, k, v 6 B s h^2; output 2 B s h^2; MLP 16 B s h^2;
// scores and context 2 B s^2 h each; so 24 B s h^2 + 4 B s^2 h. Logits: 2 B s h V. Backward is
// twice that, so
//   72 B s l h^2 (1 + s/(6h) + V/(12 l h))                         without recomputation
//   96 B s l h^2 (1 + s/(6h) + V/(16 l h))                         every layer forward twice, not
//   logits
//   + 4 B s^2 h l                                                  scores and context twice.

using namespace rehearse;
using namespace rehearse::test;

namespace {

struct Shape {
  const char* name;
  double l, h, v, s, b;
};

const Shape kShapes[] = {{"gpt3-175b", 96, 12288, 50257, 2048, 1},
                         {"megatron-22b", 48, 6144, 51200, 2048, 4},
                         {"gpt2", 12, 768, 50257, 1024, 16}};

ModelGraphs graphs_of(const Shape& shape, bool flash) {
  GraphOptions options;
  options.batch = static_cast<std::int64_t>(shape.b);
  options.sequence = static_cast<std::int64_t>(shape.s);
  options.attention = flash ? AttentionMethod::kFlash : AttentionMethod::kUnfused;
  options.causal = false;
  return build_graphs(shipped_model(shape.name), options);
}

double forward(const OpGraph& graph, bool causal = false) {
  Flops sum;
  for (const Op& op : graph.ops) sum += forward_flops(graph, op, causal);
  return sum.value;
}

}  // namespace

TEST_CASE("o33: a step without recomputation") {
  for (const Shape& x : kShapes) {
    for (bool flash : {true, false}) {
      const ModelGraphs g = graphs_of(x, flash);
      const double step = 3 * (forward(g.embedding) + x.l * forward(g.block) + forward(g.head));
      const double closed =
          72 * x.b * x.s * x.l * x.h * x.h * (1 + x.s / (6 * x.h) + x.v / (12 * x.l * x.h));
      CHECK(step == Approx(closed).epsilon(1e-12));
    }
  }
}

TEST_CASE("o33: a step with full recomputation") {
  for (const Shape& x : kShapes) {
    const ModelGraphs g = graphs_of(x, true);
    const double step = 4 * x.l * forward(g.block) + 3 * forward(g.head);
    const double closed =
        96 * x.b * x.s * x.l * x.h * x.h * (1 + x.s / (6 * x.h) + x.v / (16 * x.l * x.h));
    CHECK(step == Approx(closed).epsilon(1e-12));
  }
}

TEST_CASE("o33: selective recomputation adds 4 B s^2 h l, fused or not") {
  for (const Shape& x : kShapes) {
    const double closed = 4 * x.b * x.s * x.s * x.h * x.l;
    const OpGraph fused = graphs_of(x, true).block;
    CHECK(x.l * forward_flops(fused, op_named(fused, "attention"), false).value ==
          Approx(closed).epsilon(1e-12));
    const OpGraph unfused = graphs_of(x, false).block;
    const double products = forward_flops(unfused, op_named(unfused, "scores"), false).value +
                            forward_flops(unfused, op_named(unfused, "context"), false).value;
    CHECK(x.l * products == Approx(closed).epsilon(1e-12));
  }
}

TEST_CASE("o33: a causal mask halves flash attention and leaves unfused products alone") {
  const OpGraph fused = graphs_of(kShapes[2], true).block;
  CHECK(forward_flops(fused, op_named(fused, "attention"), true).value ==
        0.5 * forward_flops(fused, op_named(fused, "attention"), false).value);
  const OpGraph unfused = graphs_of(kShapes[2], false).block;
  CHECK(forward(unfused, true) == forward(unfused, false));
}

// Grouped queries share keys but not work: attention costs 4 b n_q s^2 d whatever n_kv is.
TEST_CASE("o33: attention's FLOPs depend on query heads, not on kv heads") {
  GraphOptions options;
  options.sequence = 4096;
  const OpGraph g = build_graphs(shipped_model("llama3-8b"), options).block;
  CHECK(forward_flops(g, op_named(g, "attention"), false).value == 4.0 * 32 * 4096 * 4096 * 128);
}
