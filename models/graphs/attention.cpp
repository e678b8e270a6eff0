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
  std::vector<Dim> dims = g.tensor(t.q).dims;
  dims.back() = g.tensor(t.v).dims.back();
  const TensorId out = g.activation("attention_out", dims, g.compute_dtype());
  const TensorId lse = g.statistic(
      "attention.lse",
      {{Axis::kBatch, o.batch}, {Axis::kHeads, g.model().heads}, {Axis::kSequence, o.sequence}},
      DType::kFp32);
  std::vector<TensorId> sinks;
  if (g.model().sinks)
    sinks.push_back(g.parameter("attention.sinks", {{Axis::kHeads, g.model().heads}}));
  g.op(OpKind::kAttention, "attention", {t.q, t.k, t.v}, std::move(sinks), {out, lse});
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
  std::vector<Dim> dims = g.tensor(t.q).dims;
  dims.back() = g.tensor(t.v).dims.back();
  const TensorId out = g.activation("context_out", dims, g.compute_dtype());
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
  std::vector<Dim> dims = g.tensor(t.q).dims;
  dims.back() = g.tensor(t.v).dims.back();
  const TensorId out = g.activation("context_out", dims, g.compute_dtype());
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

// Queries, keys and values of the whole width of a head through their latents; the rotated part of
// the keys is one for all heads.
Qkv project_latent(GraphBuilder& g, TensorId x) {
  const Model& m = g.model();
  const LatentAttention& a = m.latent;
  const Dim head{Axis::kHeadSize, m.head_size};
  TensorId latent = x;
  if (a.query_rank > 0)
    latent = g.last_norm("q_norm", g.linear("q_down", x, {Axis::kNone, a.query_rank}, m.qkv_bias));
  const TensorId queries = g.linear("q_up", latent, {Axis::kHeads, m.heads * m.head_size}, false);
  const TensorId down = g.linear("kv_down", x, {Axis::kNone, a.rank + a.rotary}, m.qkv_bias);
  const TensorId narrow = g.view("kv_latent", down, g.tokens({{Axis::kNone, a.rank}}));
  const TensorId shared_key =
      g.view("k_rotary", down, g.tokens({{Axis::kNone, 1}, {Axis::kHeadSize, a.rotary}}));
  const TensorId up = g.linear("kv_up", g.last_norm("kv_norm", narrow),
                               {Axis::kHeads, m.heads * (a.plain + a.value)}, false);
  const auto part = [&](const char* name, TensorId of, std::int64_t columns) {
    return g.view(name, of, g.tokens({{Axis::kHeads, m.heads}, {Axis::kHeadSize, columns}}));
  };
  Qkv rotated{part("q_rotary", queries, a.rotary), shared_key, kNoTensor};
  rotate(g, rotated);
  const auto joined = [&](const std::string& name, TensorId plain, TensorId rotary) {
    const TensorId out =
        g.activation(name, g.tokens({{Axis::kHeads, m.heads}, head}), g.compute_dtype());
    g.op(OpKind::kConcatenate, name + "_concatenate", {plain, rotary}, {}, {out});
    return out;
  };
  return {joined("q", part("q_plain", queries, a.plain), rotated.q),
          joined("k", part("k_plain", up, a.plain), rotated.k), part("v", up, a.value)};
}

}  // namespace

TensorId attention(GraphBuilder& g, TensorId x) {
  const Model& m = g.model();
  const bool latent = m.latent.rank > 0;
  Qkv t = latent ? project_latent(g, x) : project_qkv(g, x);
  if (m.qk_norm) {
    t.q = g.last_norm("q_norm", t.q);
    t.k = g.last_norm("k_norm", t.k);
  }
  if (m.position == PositionKind::kRotary && !latent) rotate(g, t);
  return g.linear("proj", mixed(g, t), {Axis::kHidden, m.hidden}, m.proj_bias);
}

}  // namespace rehearse
