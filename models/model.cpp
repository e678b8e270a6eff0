#include "models/model.hpp"

namespace rehearse {

namespace {

std::int64_t linear(std::int64_t in, std::int64_t out, bool bias) {
  return in * out + (bias ? out : 0);
}

std::int64_t block_parameters(const Model& m) {
  const bool gated = m.activation == ActivationKind::kSwiGlu;
  const std::int64_t queries = m.heads * m.head_size;
  const std::int64_t norm = m.hidden * (m.norm_bias ? 2 : 1);
  return 2 * norm + (m.qk_norm ? 2 * m.head_size : 0) +
         linear(m.hidden, queries + 2 * m.kv_heads * m.head_size, m.qkv_bias) +
         linear(queries, m.hidden, m.proj_bias) +
         linear(m.hidden, m.intermediate * (gated ? 2 : 1), m.mlp_bias) +
         linear(m.intermediate, m.hidden, m.mlp_bias);
}

}  // namespace

// Written out from the model alone, not summed over the graphs: each checks the other.
std::int64_t parameter_count(const Model& m) {
  const std::int64_t positions = m.position == PositionKind::kLearned ? m.max_positions : 0;
  return m.vocabulary * m.hidden * (m.tied ? 1 : 2) + positions * m.hidden +
         m.layers * block_parameters(m) + m.hidden * (m.norm_bias ? 2 : 1);
}

}  // namespace rehearse
