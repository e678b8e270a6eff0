#include "models/graphs/builder.hpp"

namespace rehearse {

namespace {

struct Qkv {
  TensorId q, k, v;
};

// One projection to queries, keys and values; the three are views of its output.
Qkv project_qkv(GraphBuilder& g, TensorId x) {
  const Model& m = g.model();
  const Dim fused{Axis::kQkv, (m.heads + 2 * m.kv_heads) * m.head_size};
  const TensorId qkv = g.linear("qkv", x, fused, m.qkv_bias);
  const Dim head_size{Axis::kHeadSize, m.head_size};
  const std::vector<Dim> query = g.tokens({{Axis::kHeads, m.heads}, head_size});
  const std::vector<Dim> key = g.tokens({{Axis::kKvHeads, m.kv_heads}, head_size});
  return {g.view("q", qkv, query), g.view("k", qkv, key), g.view("v", qkv, key)};
}

void rotate(GraphBuilder& g, Qkv& t) {
  const TensorId q = g.activation("q_rot", g.tensor(t.q).dims, g.compute_dtype());
  const TensorId k = g.activation("k_rot", g.tensor(t.k).dims, g.compute_dtype());
  g.op(OpKind::kRotary, "rotary", {t.q, t.k}, {}, {q, k});
  t.q = q;
  t.k = k;
}

// FlashAttention: the scores never reach memory; backward recomputes them from the log-sum-exp.
// It draws its dropout from a saved seed, so there is no mask.
TensorId flash_attention(GraphBuilder& g, const Qkv& t) {
  const GraphOptions& o = g.options();
  const TensorId out = g.activation("attention_out", g.tensor(t.q).dims, g.compute_dtype());
  const TensorId lse = g.statistic(
      "attention.lse",
      {{Axis::kBatch, o.batch}, {Axis::kHeads, g.model().heads}, {Axis::kSequence, o.sequence}},
      DType::kFp32);
  g.op(OpKind::kAttention, "attention", {t.q, t.k, t.v}, {}, {out, lse});
  return out;
}

// Attention as before FlashAttention: every step reads and writes [batch, heads, s, s].
TensorId unfused_attention(GraphBuilder& g, const Qkv& t) {
  const TensorId scores = g.activation("scores_out", g.score_dims(), g.compute_dtype());
  g.op(OpKind::kScores, "scores", {t.q, t.k}, {}, {scores});
  TensorId p = g.activation("softmax_out", g.score_dims(), g.residual_dtype());
  g.op(OpKind::kSoftmax, "softmax", {scores}, {}, {p});
  p = g.dropout("attention_dropout", p);
  p = g.cast("context_cast", p, g.compute_dtype());
  const TensorId out = g.activation("context_out", g.tensor(t.q).dims, g.compute_dtype());
  g.op(OpKind::kContext, "context", {p, t.v}, {}, {out});
  return out;
}

TensorId scaled(GraphBuilder& g, const std::string& of, TensorId x) {
  const TensorId out = g.activation(of + "_scaled", g.tensor(x).dims, g.compute_dtype());
  g.op(OpKind::kScale, of + "_scale", {x}, {}, {out});
  return out;
}

TensorId repeated(GraphBuilder& g, const std::string& of, TensorId x) {
  std::vector<Dim> dims = g.tensor(x).dims;
  for (Dim& d : dims)
    if (d.axis == Axis::kKvHeads) d = {Axis::kHeads, g.model().heads};
  const TensorId out = g.activation(of + "_repeated", dims, g.compute_dtype());
  g.op(OpKind::kRepeatHeads, of + "_repeat", {x}, {}, {out});
  return out;
}

TensorId math_attention(GraphBuilder& g, Qkv t) {
  t.q = scaled(g, "q", t.q);
  if (g.model().kv_heads != g.model().heads) {
    t.k = repeated(g, "k", t.k);
    t.v = repeated(g, "v", t.v);
  }
  t.k = scaled(g, "k", t.k);
  const TensorId scores = g.activation("scores_out", g.score_dims(), g.compute_dtype());
  g.op(OpKind::kScores, "scores", {t.q, t.k}, {}, {scores});
  TensorId p = g.activation("softmax_out", g.score_dims(), g.compute_dtype());
  g.op(OpKind::kSafeSoftmax, "softmax", {scores}, {}, {p});
  p = g.dropout("attention_dropout", p);
  const TensorId out = g.activation("context_out", g.tensor(t.q).dims, g.compute_dtype());
  g.op(OpKind::kContext, "context", {p, t.v}, {}, {out});
  return out;
}

TensorId mixed(GraphBuilder& g, const Qkv& t) {
  switch (g.options().attention) {
    case AttentionMethod::kFlash:
      return flash_attention(g, t);
    case AttentionMethod::kUnfused:
      return unfused_attention(g, t);
    case AttentionMethod::kMath:
      return math_attention(g, t);
  }
  return flash_attention(g, t);
}

TensorId attention(GraphBuilder& g, TensorId x) {
  const Model& m = g.model();
  Qkv t = project_qkv(g, x);
  if (m.qk_norm) {
    t.q = g.head_norm("q_norm", t.q);
    t.k = g.head_norm("k_norm", t.k);
  }
  if (m.position == PositionKind::kRotary) rotate(g, t);
  return g.linear("proj", mixed(g, t), {Axis::kHidden, m.hidden}, m.proj_bias);
}

TensorId mlp(GraphBuilder& g, TensorId x) {
  const Model& m = g.model();
  const Dim inner{Axis::kIntermediate, m.intermediate};
  TensorId y = kNoTensor;
  if (m.activation == ActivationKind::kSwiGlu) {
    const TensorId gate_up = g.linear("up", x, {Axis::kGateUp, 2 * m.intermediate}, m.mlp_bias);
    y = g.activation("swiglu_out", g.tokens({inner}), g.compute_dtype());
    // Eager PyTorch computes silu(gate) and then the product, whose backward needs both factors.
    const TensorId silu = g.activation("silu", g.tokens({inner}), g.compute_dtype());
    g.op(OpKind::kSwiGlu, "swiglu", {gate_up}, {}, {y, silu});
  } else {
    const TensorId up = g.linear("up", x, inner, m.mlp_bias);
    y = g.activation("gelu_out", g.tokens({inner}), g.compute_dtype());
    g.op(OpKind::kGelu, "gelu", {up}, {}, {y});
  }
  return g.linear("down", y, {Axis::kHidden, m.hidden}, m.mlp_bias);
}

}  // namespace

// A pre-norm transformer layer: x + attention(norm(x)), then x + mlp(norm(x)).
OpGraph build_block(const Model& model, const GraphOptions& options) {
  GraphBuilder g("block", model, options);
  const TensorId in =
      g.input("block_in", g.tokens({{Axis::kHidden, model.hidden}}), g.residual_dtype());
  TensorId y = attention(g, g.norm("norm1", in));
  const TensorId middle = g.add("add1", in, g.dropout("proj_dropout", y));
  y = mlp(g, g.norm("norm2", middle));
  const TensorId out = g.add("add2", middle, g.dropout("mlp_dropout", y));
  return g.finish(in, out);
}

}  // namespace rehearse
