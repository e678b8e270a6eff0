#include <catch2/catch.hpp>

#include "tests/unit/model_test_support.hpp"

// O34. Training costs C = 6 N D: each parameter meets each token in one multiply-add forward and
// two backward (for its gradient and for its input's), of two FLOPs each. Attention adds 12 l h s a
// token: 4 s h forward per layer for scores and context, three times. MFU = (6 N + 12 l h s) T / (K
// F) for T tokens a second on K devices of F FLOP/s. Full recomputation runs forward twice: 8 N D,
// so MFU is 3/4 of HFU where the logits, which are not recomputed, are left out.

using namespace rehearse;
using namespace rehearse::test;

TEST_CASE("o34: a token costs 6 N + 12 l h s, and half the attention under a causal mask") {
  const Model m = shipped_model("llama3-8b");
  const double weights = 6 * 8030261248.0;
  const double attention = 12.0 * 32 * 4096 * 8192;
  CHECK(model_flops_per_token(m, 8192, false).value == weights + attention);
  CHECK(model_flops_per_token(m, 8192, true).value == weights + attention / 2);
}

TEST_CASE("o34: h in the attention term is heads times head size") {
  const Model m = model_of(
      "{model_type: qwen3, hidden_size: 1024, num_attention_heads: 16, "
      "num_key_value_heads: 8, num_hidden_layers: 3}");
  const double attention = 12.0 * 3 * (16 * 128) * 100;
  CHECK(model_flops_per_token(m, 100, false).value ==
        6 * static_cast<double>(parameter_count(m)) + attention);
}

// 6 N counts what is no matrix product: embeddings looked up, positions, norms and biases. Without
// those it equals three forwards of the graphs. (A tied table is multiplied in the head.)
TEST_CASE("o34: three forwards of the graphs are 6 N + 12 l h s less what is never multiplied") {
  GraphOptions options;
  options.sequence = 1024;
  for (const char* name : {"gpt2", "llama3-8b", "qwen2.5-7b"}) {
    const Model m = shipped_model(name);
    const ModelGraphs g = build_graphs(m, options);
    double forward = 0;
    double multiplied = 0;  // elements of linear weights
    for (const auto& [graph, times] :
         {std::pair(&g.embedding, 1.0), std::pair(&g.block, static_cast<double>(m.layers)),
          std::pair(&g.head, 1.0)}) {
      for (const Op& op : graph->ops) {
        forward += times * forward_flops(*graph, op, false).value;
        if (op.kind != OpKind::kLinear) continue;
        multiplied += times * static_cast<double>(graph->tensor(op.parameters[0]).elements());
      }
    }
    const double unused = static_cast<double>(parameter_count(m)) - multiplied;
    CHECK(3 * forward / 1024 ==
          Approx(model_flops_per_token(m, 1024, false).value - 6 * unused).epsilon(1e-12));
  }
}

TEST_CASE("o34: full recomputation makes MFU three quarters of HFU, without logits") {
  GraphOptions options;
  options.sequence = 2048;
  const OpGraph block = build_graphs(shipped_model("gpt3-175b"), options).block;
  double forward = 0;
  for (const Op& op : block.ops) forward += forward_flops(block, op, false).value;
  const double backward = 2 * forward;
  CHECK((forward + backward) / (forward + forward + backward) == 0.75);
}

// Korthikanti et al. 2022, table 5: 22 B on 8 A100 (312 TFLOP/s), 4 sequences of 2,048 in 1.10 s:
// MFU 41.5 %. They count 72 B s l h^2 (1 + s/6h + V/12lh), which has no 6 N of biases, norms and
// positions; the two differ by less than 0.1 %.
TEST_CASE("o34: the MFU of a published run") {
  const Model m = shipped_model("megatron-22b");
  const double tokens = 4 * 2048;
  const double mfu = model_flops_per_token(m, 2048, false).value * tokens / 1.10 / (8 * 312e12);
  CHECK(mfu == Approx(0.415).margin(0.0025));
}
