#include "models/fine_tuning.hpp"

#include <algorithm>

namespace rehearse {

namespace {

void add_attention(const Model& m, std::vector<Projection>& out) {
  if (m.latent.rank > 0) {
    const LatentAttention& a = m.latent;
    if (a.query_rank > 0) out.push_back({"q_down", m.hidden, a.query_rank});
    out.push_back({"q_up", a.query_rank > 0 ? a.query_rank : m.hidden, m.heads * m.head_size});
    out.push_back({"kv_down", m.hidden, a.rank + a.rotary});
    out.push_back({"kv_up", a.rank, m.heads * (a.plain + a.value)});
  } else {
    const std::int64_t queries = m.heads * m.head_size, keys = m.kv_heads * m.head_size;
    out.push_back({"qkv", m.hidden, queries + 2 * keys});
    out.push_back({"q", m.hidden, queries});
    out.push_back({"k", m.hidden, keys});
    out.push_back({"v", m.hidden, keys});
  }
  out.push_back({"proj", m.heads * m.value_size(), m.hidden});
}

void add_mlp(const Model& m, const std::string& prefix, std::int64_t intermediate,
             std::vector<Projection>& out) {
  const bool gated = m.activation == ActivationKind::kSwiGlu;
  out.push_back({prefix + "up", m.hidden, intermediate * (gated ? 2 : 1)});
  out.push_back({prefix + "down", intermediate, m.hidden});
}

// What fine-tuning adds to a layer.
std::int64_t added(const Model& m, const FineTuning& f, std::int64_t layer) {
  if (f.kind == FineTuning::Kind::kAdapter) return 2 * 2 * m.hidden * f.rank;
  std::int64_t n = 0;
  if (f.kind == FineTuning::Kind::kLora) {
    for (const Projection& p : projections(m, layer)) {
      if (f.targeted(p.name)) n += f.rank * (p.in + p.out);
    }
  }
  return n;
}

std::int64_t added(const Model& m, const FineTuning& f) {
  std::int64_t n = 0;
  for (std::int64_t l = 0; l < m.layers; ++l) n += added(m, f, l);
  return n;
}

}  // namespace

std::vector<Projection> projections(const Model& m, std::int64_t layer) {
  std::vector<Projection> out;
  add_attention(m, out);
  if (!m.has_experts(layer)) {
    add_mlp(m, "", m.intermediate, out);
  } else if (m.experts.shared_intermediate > 0) {
    add_mlp(m, "shared.", m.experts.shared_intermediate, out);
  }
  return out;
}

std::vector<std::string> projection_names(const Model& m) {
  std::vector<std::string> out;
  for (std::int64_t l = 0; l < m.layers; ++l) {
    for (const Projection& p : projections(m, l)) {
      if (std::find(out.begin(), out.end(), p.name) == out.end()) out.push_back(p.name);
    }
  }
  return out;
}

std::int64_t parameter_count(const Model& m, const FineTuning& f) {
  return parameter_count(m) + added(m, f);
}

std::int64_t trainable_parameter_count(const Model& m, const FineTuning& f) {
  if (f.kind == FineTuning::Kind::kNone) return parameter_count(m);
  std::int64_t n = added(m, f);
  for (int l : f.layers) n += layer_parameters(m, l);
  return n;
}

std::int64_t first_trainable_layer(const Model& m, const FineTuning& f) {
  if (f.kind == FineTuning::Kind::kLayers) return f.layers.front();
  if (f.kind != FineTuning::Kind::kLora) return 0;
  std::int64_t l = 0;
  while (l + 1 < m.layers && added(m, f, l) == 0) ++l;
  return l;
}

BackwardShare backward_share(const Model& m, const FineTuning& f) {
  BackwardShare s;
  const std::int64_t all = active_parameter_count(m);
  if (f.kind == FineTuning::Kind::kNone) return {all, all, all, m.layers};
  const std::int64_t first = first_trainable_layer(m, f);
  s.forward = all + added(m, f);
  s.inputs = s.forward;
  // The embedding and the layers below have none; a tied head's matrix has.
  if (!m.tied) s.inputs -= m.vocabulary * m.hidden;
  if (m.position == PositionKind::kLearned) s.inputs -= m.max_positions * m.hidden;
  for (std::int64_t l = 0; l < first; ++l) s.inputs -= active_layer_parameters(m, l);
  s.parameters = added(m, f);
  for (int l : f.layers) s.parameters += active_layer_parameters(m, l);
  s.layers = m.layers - first;
  return s;
}

}  // namespace rehearse
