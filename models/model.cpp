#include "models/model.hpp"

namespace rehearse {

namespace {

std::int64_t linear(std::int64_t in, std::int64_t out, bool bias) {
  return in * out + (bias ? out : 0);
}

std::int64_t attention_parameters(const Model& m) {
  const std::int64_t values = linear(m.heads * m.value_size(), m.hidden, m.proj_bias);
  if (m.latent.rank > 0) {
    const LatentAttention& a = m.latent;
    const std::int64_t queries = a.query_rank > 0
                                     ? linear(m.hidden, a.query_rank, m.qkv_bias) + a.query_rank +
                                           linear(a.query_rank, m.heads * m.head_size, false)
                                     : linear(m.hidden, m.heads * m.head_size, false);
    return queries + linear(m.hidden, a.rank + a.rotary, m.qkv_bias) + a.rank +
           linear(a.rank, m.heads * (a.plain + a.value), false) + values;
  }
  return (m.qk_norm ? 2 * m.head_size : 0) + (m.sinks ? m.heads : 0) +
         linear(m.hidden, (m.heads + 2 * m.kv_heads) * m.head_size, m.qkv_bias) + values;
}

std::int64_t mlp_parameters(const Model& m, std::int64_t intermediate, bool bias) {
  const bool gated = m.activation == ActivationKind::kSwiGlu;
  return linear(m.hidden, intermediate * (gated ? 2 : 1), bias) +
         linear(intermediate, m.hidden, bias);
}

// A layer of which a token meets `experts`.
std::int64_t parameters_of_layer(const Model& m, std::int64_t layer, std::int64_t experts) {
  const std::int64_t outside = 2 * m.hidden * (m.norm_bias ? 2 : 1) + attention_parameters(m);
  if (!m.has_experts(layer)) return outside + mlp_parameters(m, m.intermediate, m.mlp_bias);
  const Experts& e = m.experts;
  const std::int64_t shared =
      e.shared_intermediate > 0 ? mlp_parameters(m, e.shared_intermediate, e.bias) : 0;
  return outside + linear(m.hidden, e.count, e.router_bias) + shared +
         experts * mlp_parameters(m, e.intermediate, e.bias);
}

std::int64_t count(const Model& m, std::int64_t experts) {
  const std::int64_t positions = m.position == PositionKind::kLearned ? m.max_positions : 0;
  std::int64_t n = m.vocabulary * m.hidden * (m.tied ? 1 : 2) + positions * m.hidden +
                   m.hidden * (m.norm_bias ? 2 : 1);
  for (std::int64_t l = 0; l < m.layers; ++l) n += parameters_of_layer(m, l, experts);
  return n;
}

}  // namespace

// Written out from the model alone, not summed over the graphs: each checks the other.
std::int64_t parameter_count(const Model& m) { return count(m, m.experts.count); }
std::int64_t active_parameter_count(const Model& m) { return count(m, m.experts.per_token); }
std::int64_t active_layer_parameters(const Model& m, std::int64_t layer) {
  return parameters_of_layer(m, layer, m.experts.per_token);
}
std::int64_t layer_parameters(const Model& m, std::int64_t layer) {
  return parameters_of_layer(m, layer, m.experts.count);
}

}  // namespace rehearse
