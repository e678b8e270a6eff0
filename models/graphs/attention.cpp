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
  // LoRA of one part: its product is added to the part alone.
  const auto part = [&](const std::string& name, const std::vector<Dim>& dims) {
    const bool tuned = g.options().fine_tuning.targeted(name);
    const TensorId view = g.view(tuned ? name + "_base" : name, qkv, dims);
    return g.low_rank(name, x, view, {dims[2].axis, dims[2].size * m.head_size}, name);
  };
  const TensorId q = part("q", query), k = part("k", key), v = part("v", key);
  return {q, k, v};
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
  g.op(OpKind::kAttention, "attention", {t.q, t.k, t.v}, std::move(sinks), {out, lse}).dropout =
      o.dropout > 0;
  if (!o.reorders_attention) return out;
  const TensorId copy = g.activation("attention_reordered", dims, g.compute_dtype());
  g.op(OpKind::kReorder, "attention_reorder", {out}, {}, {copy});
  return copy;
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

Qkv for_all_heads(GraphBuilder& g, Qkv t) {
  if (g.model().kv_heads == g.model().heads) return t;
  t.k = repeated(g, "k", t.k);
  t.v = repeated(g, "v", t.v);
  return t;
}

TensorId math_attention(GraphBuilder& g, Qkv t) {
  t.q = scaled(g, "q", t.q);
  t = for_all_heads(g, t);
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
    case AttentionMethod::kRepeated:
      return flash_attention(g, for_all_heads(g, t));
    case AttentionMethod::kUnfused:
      return unfused_attention(g, t);
    case AttentionMethod::kMath:
      return math_attention(g, t);
  }
  return flash_attention(g, t);
}

// Latent attention: queries of the whole width of a head, and what keys and values are made of. The
// rotated part of the keys is one for all heads.
class LatentGraph {
 public:
  explicit LatentGraph(GraphBuilder& g) : g_(g), m_(g.model()), a_(m_.latent) {}

  // What meets in attention, and the result, of which the absorbed form makes values afterwards.
  TensorId attend(TensorId x) {
    TensorId latent = x;
    if (a_.query_rank > 0)
      latent =
          g_.last_norm("q_norm", g_.linear("q_down", x, {Axis::kNone, a_.query_rank}, m_.qkv_bias));
    queries_ = g_.linear("q_up", latent, {Axis::kHeads, m_.heads * m_.head_size}, false);
    const TensorId down = g_.linear("kv_down", x, {Axis::kNone, a_.rank + a_.rotary}, m_.qkv_bias);
    const TensorId narrow = g_.view("kv_latent", down, g_.tokens({{Axis::kNone, a_.rank}}));
    const TensorId shared_key =
        g_.view("k_rotary", down, g_.tokens({{Axis::kNone, 1}, {Axis::kHeadSize, a_.rotary}}));
    const TensorId normed = g_.last_norm("kv_norm", narrow);
    if (g_.options().latent == LatentForm::kTraining) {
      const TensorId up = expand(normed);
      rotate_parts(shared_key);
      return mixed(g_, whole_heads(up, rotated_.k));
    }
    rotate_parts(shared_key);
    const TensorId kept = g_.activation(
        "latent", g_.tokens({{Axis::kNone, 1}, {Axis::kHeadSize, a_.rank + a_.rotary}}),
        g_.compute_dtype());
    g_.op(OpKind::kConcatenate, "latent_concatenate", {normed, rotated_.k}, {}, {kept});
    return g_.options().latent == LatentForm::kAbsorbed ? absorbed(kept) : expanded(kept);
  }

 private:
  TensorId part(const char* name, TensorId of, std::int64_t columns) {
    return g_.view(name, of, g_.tokens({{Axis::kHeads, m_.heads}, {Axis::kHeadSize, columns}}));
  }
  TensorId joined(const std::string& name, TensorId first, TensorId second, std::int64_t columns) {
    const TensorId out =
        g_.activation(name, g_.tokens({{Axis::kHeads, m_.heads}, {Axis::kHeadSize, columns}}),
                      g_.compute_dtype());
    g_.op(OpKind::kConcatenate, name + "_concatenate", {first, second}, {}, {out});
    return out;
  }
  void rotate_parts(TensorId shared_key) {
    rotated_ = {part("q_rotary", queries_, a_.rotary), shared_key, kNoTensor};
    rotate(g_, rotated_);
  }
  TensorId expand(TensorId latent) {
    return g_.linear("kv_up", latent, {Axis::kHeads, m_.heads * (a_.plain + a_.value)}, false);
  }
  Qkv whole_heads(TensorId up, TensorId key_rotary) {
    const TensorId q = joined("q", part("q_plain", queries_, a_.plain), rotated_.q, m_.head_size);
    const TensorId k = joined("k", part("k_plain", up, a_.plain), key_rotary, m_.head_size);
    // A copy, as frameworks make it for their attention: what backward keeps is v alone.
    const TensorId v =
        g_.activation("v", g_.tokens({{Axis::kHeads, m_.heads}, {Axis::kHeadSize, a_.value}}),
                      g_.compute_dtype());
    g_.op(OpKind::kConcatenate, "v_copy", {part("v_part", up, a_.value)}, {}, {v});
    return {q, k, v};
  }
  TensorId expanded(TensorId kept) {
    const TensorId narrow = g_.view("latent_kept", kept, g_.tokens({{Axis::kNone, a_.rank}}));
    const TensorId key =
        g_.view("k_rotary_kept", kept, g_.tokens({{Axis::kNone, 1}, {Axis::kHeadSize, a_.rotary}}));
    return mixed(g_, whole_heads(expand(narrow), key));
  }
  TensorId head_linear(const std::string& name, TensorId x, std::int64_t in, std::int64_t out) {
    const TensorId weight = g_.parameter(
        name + ".weight", {{Axis::kHeads, m_.heads}, {Axis::kHeadSize, out}, {Axis::kNone, in}});
    const TensorId result =
        g_.activation(name + "_out", g_.tokens({{Axis::kHeads, m_.heads}, {Axis::kHeadSize, out}}),
                      g_.compute_dtype());
    g_.op(OpKind::kHeadLinear, name, {x}, {weight}, {result});
    return result;
  }
  TensorId absorbed(TensorId kept) {
    const TensorId query =
        head_linear("k_absorbed", part("q_plain", queries_, a_.plain), a_.plain, a_.rank);
    const TensorId q = joined("q", query, rotated_.q, a_.rank + a_.rotary);
    const TensorId values =
        g_.view("v", kept, g_.tokens({{Axis::kNone, 1}, {Axis::kHeadSize, a_.rank}}));
    return head_linear("v_absorbed", mixed(g_, {q, kept, values}), a_.rank, a_.value);
  }

  GraphBuilder& g_;
  const Model& m_;
  const LatentAttention& a_;
  TensorId queries_ = kNoTensor;
  Qkv rotated_{};
};

}  // namespace

TensorId attention(GraphBuilder& g, TensorId x) {
  const Model& m = g.model();
  if (m.latent.rank > 0)
    return g.linear("proj", LatentGraph(g).attend(x), {Axis::kHidden, m.hidden}, m.proj_bias);
  Qkv t = project_qkv(g, x);
  if (m.qk_norm) {
    t.q = g.last_norm("q_norm", t.q);
    t.k = g.last_norm("k_norm", t.k);
  }
  if (m.position == PositionKind::kRotary) rotate(g, t);
  return g.linear("proj", mixed(g, t), {Axis::kHidden, m.hidden}, m.proj_bias);
}

}  // namespace rehearse
