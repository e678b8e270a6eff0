#include "models/families/keys.hpp"
#include "models/families/readers.hpp"

namespace rehearse {

// Defaults of transformers' MixtralConfig (8x7B): every layer has experts, as wide as
// intermediate_size says.
Model read_mixtral(Reader& reader) {
  Model m = read_llama_like(reader, {.intermediate_size = 14336, .num_key_value_heads = 8});
  m.experts.count = count_or(reader, "num_local_experts", 8);
  m.experts.per_token = count_or(reader, "num_experts_per_tok", 2);
  m.experts.intermediate = m.intermediate;
  m.expert_layers.assign(static_cast<std::size_t>(m.layers), true);
  return m;
}

}  // namespace rehearse
