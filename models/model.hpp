#pragma once

#include <cstdint>
#include <string>

#include "sim/config/value.hpp"

namespace rehearse {

enum class NormKind : std::uint8_t { kLayerNorm, kRmsNorm };
enum class ActivationKind : std::uint8_t { kGelu, kSwiGlu };
// kNone: none, or slopes added to the scores (ALiBi), which cost nothing of their own.
enum class PositionKind : std::uint8_t { kLearned, kRotary, kNone };

// A dense decoder-only transformer, read from a Hugging Face config.json (or the same keys in
// YAML). What a family fixes (which norm, biases, ...) is spelled out here, so that nothing
// downstream asks for the family.
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
  bool tied = false;     // head and token embedding share their weight
};

// Reads a resolved model tree (see catalog.hpp). Throws UserError with all mistakes.
Model read_model(const Value& tree);

// Parameters of the whole model; tied weights count once.
std::int64_t parameter_count(const Model& model);

}  // namespace rehearse
