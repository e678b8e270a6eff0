#include <string>
#include <vector>

#include "models/families/keys.hpp"
#include "models/families/readers.hpp"

namespace rehearse {
namespace {

constexpr std::int64_t kGatedMultiple = 64;  // of the columns of a gated MLP

// Megatron-LM's own default (validate_args): four times the hidden size, two thirds of it when
// gated.
std::int64_t default_intermediate(std::int64_t hidden, bool gated) {
  return gated ? 4 * hidden * 2 / 3 / kGatedMultiple * kGatedMultiple : 4 * hidden;
}

// --moe-layer-freq: every n-th layer has experts, from the first one on; or a 1 or a 0 a layer.
std::vector<bool> read_expert_layers(Reader& reader, std::int64_t layers) {
  const std::string key = "moe_layer_freq";
  std::vector<bool> has;
  if (!reader.has(key) || !reader.raw(key).is_list()) {
    const std::int64_t every = count_or(reader, key, 1);
    for (std::int64_t l = 0; l < layers; ++l) has.push_back(l % every == 0);
    return has;
  }
  for (int with : reader.list<int>(key)) has.push_back(with != 0);
  if (static_cast<std::int64_t>(has.size()) != layers) {
    reader.error(key,
                 std::to_string(has.size()) + " values for " + std::to_string(layers) + " layers",
                 "a 1 (experts) or a 0 (dense) for every layer");
  }
  has.resize(static_cast<std::size_t>(layers));
  return has;
}

void read_experts(Reader& reader, Model& m) {
  Experts& e = m.experts;
  e.count = size_or(reader, "num_experts", 0);
  if (e.count == 0) return;
  e.per_token = count_or(reader, "moe_router_topk", 2);
  e.intermediate = count_or(reader, "moe_ffn_hidden_size", m.intermediate);
  e.shared_intermediate = size_or(reader, "moe_shared_expert_intermediate_size", 0);
  e.bias = m.mlp_bias;
  m.expert_layers = read_expert_layers(reader, m.layers);
}

void read_latent_attention(Reader& reader, Model& m) {
  if (!flag_or(reader, "multi_latent_attention", false)) return;
  LatentAttention& a = m.latent;
  a.query_rank = size_or(reader, "q_lora_rank", 0);
  a.rank = count_or(reader, "kv_lora_rank", 32);
  a.plain = count_or(reader, "qk_head_dim", 128);
  a.rotary = count_or(reader, "qk_pos_emb_head_dim", 64);
  a.value = count_or(reader, "v_head_dim", 128);
  m.head_size = a.plain + a.rotary;
  m.kv_heads = m.heads;
}

}  // namespace

// Megatron-LM's GPT, said by its launch arguments (underscores for hyphens), with their defaults;
// the sizes, which have none, are those of its first example (345 M).
Model read_megatron_gpt(Reader& reader) {
  static const std::vector<std::string> kNorms{"LayerNorm", "RMSNorm"};
  static const std::vector<std::string> kPositions{"learned_absolute", "rope", "none"};
  Model m;
  m.layers = count_or(reader, "num_layers", 24);
  m.hidden = count_or(reader, "hidden_size", 1024);
  m.heads = count_or(reader, "num_attention_heads", 16);
  m.vocabulary = count_or(reader, "vocab_size", 50257);
  const bool gated = flag_or(reader, "swiglu", false);
  m.activation = gated ? ActivationKind::kSwiGlu : ActivationKind::kGelu;
  m.intermediate = count_or(reader, "ffn_hidden_size", default_intermediate(m.hidden, gated));
  m.head_size = count_or(reader, "kv_channels", share(m.hidden, m.heads));
  const std::int64_t groups = count_or(reader, "num_query_groups", 1);
  m.kv_heads =
      flag_or(reader, "group_query_attention", reader.has("num_query_groups")) ? groups : m.heads;
  m.norm = static_cast<NormKind>(reader.choice("normalization", kNorms, 0));
  m.norm_bias = m.norm == NormKind::kLayerNorm;
  m.position = static_cast<PositionKind>(reader.choice("position_embedding_type", kPositions, 0));
  m.max_positions = count_or(reader, "max_position_embeddings", 1024);
  m.mlp_bias = m.proj_bias = !flag_or(reader, "disable_bias_linear", false);
  m.qkv_bias = flag_or(reader, "add_qkv_bias", false) || m.mlp_bias;
  m.qk_norm = flag_or(reader, "qk_layernorm", false);
  m.tied = !flag_or(reader, "untie_embeddings_and_output_weights", false);
  read_experts(reader, m);
  read_latent_attention(reader, m);
  return m;
}

}  // namespace rehearse
