#include "models/families/keys.hpp"
#include "models/families/readers.hpp"

namespace rehearse {
namespace {

struct Defaults {
  LlamaDefaults shape;
  std::int64_t moe_intermediate, routed, shared, per_token, first_dense, query_rank;
};

// Latent attention; shared experts beside the routed ones, as one MLP of their common width; the
// first layers dense.
Model read_deepseek(Reader& reader, const Defaults& d) {
  Model m = read_llama_like(reader, d.shape);
  m.qkv_bias = m.proj_bias = flag_or(reader, "attention_bias", false);
  LatentAttention& a = m.latent;
  a.rank = count_or(reader, "kv_lora_rank", 512);
  a.query_rank = count_or(reader, "q_lora_rank", reader.has("q_lora_rank") ? 0 : d.query_rank);
  a.plain = count_or(reader, "qk_nope_head_dim", 128);
  a.rotary = count_or(reader, "qk_rope_head_dim", 64);
  a.value = count_or(reader, "v_head_dim", 128);
  m.head_size = a.plain + a.rotary;
  m.kv_heads = m.heads;
  Experts& e = m.experts;
  e.count = count_or(reader, "n_routed_experts", d.routed);
  e.per_token = count_or(reader, "num_experts_per_tok", d.per_token);
  e.intermediate = count_or(reader, "moe_intermediate_size", d.moe_intermediate);
  e.shared_intermediate = e.intermediate * size_or(reader, "n_shared_experts", d.shared);
  const std::int64_t dense = size_or(reader, "first_k_dense_replace", d.first_dense);
  const std::int64_t every = count_or(reader, "moe_layer_freq", 1);
  for (std::int64_t l = 0; l < m.layers; ++l)
    m.expert_layers.push_back(l >= dense && l % every == 0);
  return m;
}

}  // namespace

// Defaults of DeepSeek-V2's configuration.
Model read_deepseek_v2(Reader& reader) {
  return read_deepseek(reader, {{.vocab_size = 102400,
                                 .hidden_size = 5120,
                                 .intermediate_size = 12288,
                                 .num_hidden_layers = 60,
                                 .num_attention_heads = 128,
                                 .num_key_value_heads = 128,
                                 .head_dim = 192},
                                1536,
                                160,
                                2,
                                6,
                                1,
                                1536});
}

// Defaults of transformers' DeepseekV3Config. The layer that predicts a further token
// (num_nextn_predict_layers) is not part of the model that is counted and simulated.
Model read_deepseek_v3(Reader& reader) {
  return read_deepseek(reader, {{.vocab_size = 129280,
                                 .hidden_size = 7168,
                                 .intermediate_size = 18432,
                                 .num_hidden_layers = 61,
                                 .num_attention_heads = 128,
                                 .num_key_value_heads = 128,
                                 .head_dim = 192},
                                2048,
                                256,
                                1,
                                8,
                                3,
                                1536});
}

}  // namespace rehearse
