#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sim/config/value.hpp"

namespace rehearse {

enum class NormKind : std::uint8_t { kLayerNorm, kRmsNorm };
enum class ActivationKind : std::uint8_t { kGelu, kSwiGlu };
// kNone: none, or slopes added to the scores (ALiBi), which cost nothing of their own.
enum class PositionKind : std::uint8_t { kLearned, kRotary, kNone };

// A mixture of experts in place of a layer's MLP: a router chooses `per_token` of `count` MLPs for
// each token; shared experts see every token, as one MLP beside them.
struct Experts {
  std::int64_t count = 0;  // routed; 0: the model is dense
  std::int64_t per_token = 0;
  std::int64_t intermediate = 0;         // of each
  std::int64_t shared_intermediate = 0;  // of all shared experts together; 0: none
  bool bias = false;                     // of every expert's matrices
  bool router_bias = false;
};

// Attention through a low-rank latent (DeepSeek-AI 2024): queries through `query_rank` columns (0:
// straight from the hidden state), keys and values through `rank` (0: ordinary attention). A head
// of queries and keys has `plain` columns and `rotary` ones, whose keys all heads share; a head of
// values has `value`.
struct LatentAttention {
  std::int64_t query_rank = 0;
  std::int64_t rank = 0;
  std::int64_t plain = 0;
  std::int64_t rotary = 0;
  std::int64_t value = 0;
};

// A decoder-only transformer, dense or with experts, read from a Hugging Face config.json (or the
// same keys in YAML). What a family fixes (which norm, biases, ...) is spelled out here, so that
// nothing downstream asks for the family.
struct Model {
  std::string name;    // catalog name, or the file's stem, or "inline"
  std::string family;  // model_type
  std::int64_t layers = 0;
  std::int64_t hidden = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_size = 0;
  std::int64_t intermediate = 0;
  std::int64_t vocabulary = 0;
  std::int64_t max_positions = 0;  // rows of the learned position table (kLearned)
  NormKind norm = NormKind::kRmsNorm;
  ActivationKind activation = ActivationKind::kSwiGlu;
  PositionKind position = PositionKind::kRotary;
  bool qkv_bias = false;
  bool proj_bias = false;  // attention output projection
  bool mlp_bias = false;
  bool norm_bias = false;
  bool qk_norm = false;  // RMS norm of each query and key head (qwen3)
  bool sinks = false;    // a learned logit of each head in attention's softmax (gpt-oss)
  bool tied = false;     // head and token embedding share their weight
  Experts experts;
  std::vector<bool> expert_layers;  // of every layer, whether it has experts; empty: none has
  LatentAttention latent;           // head_size is then that of queries and keys

  bool has_experts(std::int64_t layer) const {
    return !expert_layers.empty() && expert_layers[static_cast<std::size_t>(layer)];
  }
  // Columns of a head of values.
  std::int64_t value_size() const { return latent.rank > 0 ? latent.value : head_size; }
};

// Reads a resolved model tree (see catalog.hpp). Throws UserError with all mistakes.
Model read_model(const Value& tree);

// Parameters of the whole model; tied weights count once.
std::int64_t parameter_count(const Model& model);
// Those that one token meets: of the routed experts, `per_token` a layer.
std::int64_t active_parameter_count(const Model& model);
// Those of one layer that one token meets, and all of them.
std::int64_t active_layer_parameters(const Model& model, std::int64_t layer);
std::int64_t layer_parameters(const Model& model, std::int64_t layer);

}  // namespace rehearse
