#include <algorithm>

#include "models/families/keys.hpp"
#include "models/families/readers.hpp"

namespace rehearse {

// Defaults of transformers' Qwen3MoeConfig. Every `decoder_sparse_step`-th layer has experts, but
// for those that `mlp_only_layers` names.
Model read_qwen3_moe(Reader& reader) {
  Model m = read_llama_like(reader, {.vocab_size = 151936,
                                     .hidden_size = 2048,
                                     .intermediate_size = 6144,
                                     .num_hidden_layers = 24,
                                     .num_attention_heads = 32,
                                     .num_key_value_heads = 4});
  m.qkv_bias = m.proj_bias = flag_or(reader, "attention_bias", false);
  m.qk_norm = true;
  m.experts.count = count_or(reader, "num_experts", 128);
  m.experts.per_token = count_or(reader, "num_experts_per_tok", 8);
  m.experts.intermediate = count_or(reader, "moe_intermediate_size", 768);
  const std::int64_t every = count_or(reader, "decoder_sparse_step", 1);
  const std::vector<int> dense = reader.list<int>("mlp_only_layers");
  for (std::int64_t l = 0; l < m.layers; ++l)
    m.expert_layers.push_back((l + 1) % every == 0 &&
                              std::find(dense.begin(), dense.end(), l) == dense.end());
  return m;
}

}  // namespace rehearse
