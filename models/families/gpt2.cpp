#include <string>

#include "models/families/keys.hpp"
#include "models/families/readers.hpp"

namespace rehearse {

namespace {

// Whether the key was laid over the model's file from elsewhere (a scenario, the command line).
bool is_override(const Reader& reader, const std::string& key) {
  const Value* type = reader.value().find("model_type");
  return type != nullptr && reader.value().find(key)->mark().file != type->mark().file;
}

// GPT-2 has names of its own for what everybody else calls something else. Both are accepted
// (transformers maps one to the other). An override in one spelling replaces the file's value in
// the other; else they must not contradict each other.
std::int64_t either(Reader& reader, const std::string& own, const std::string& general,
                    std::int64_t fallback) {
  const std::int64_t general_value = count_or(reader, general, fallback);
  const std::int64_t own_value = count_or(reader, own, general_value);
  if (!is_given(reader, general) || !is_given(reader, own)) return own_value;
  if (is_override(reader, own) != is_override(reader, general)) {
    return is_override(reader, own) ? own_value : general_value;
  }
  if (own_value != general_value) {
    reader.error(own, std::to_string(own_value) + " contradicts '" + general +
                          "', which means the same and is " + std::to_string(general_value));
  }
  return own_value;
}

// Keys of other families that GPT-2 has no room for: only the value it implies is accepted.
void must_be(Reader& reader, const std::string& key, std::int64_t implied) {
  const std::int64_t value = count_or(reader, key, implied);
  if (value != implied) {
    reader.error(key, "gpt2 has multi-head attention: this can only be " + std::to_string(implied) +
                          ", not " + std::to_string(value));
  }
}

}  // namespace

// Defaults of transformers' GPT2Config (the 124 M model).
Model read_gpt2(Reader& reader) {
  Model m;
  m.norm = NormKind::kLayerNorm;
  m.activation = ActivationKind::kGelu;
  m.position = PositionKind::kLearned;
  m.qkv_bias = m.proj_bias = m.mlp_bias = m.norm_bias = true;
  m.vocabulary = count_or(reader, "vocab_size", 50257);
  m.hidden = either(reader, "n_embd", "hidden_size", 768);
  m.layers = either(reader, "n_layer", "num_hidden_layers", 12);
  m.heads = either(reader, "n_head", "num_attention_heads", 12);
  m.max_positions = either(reader, "n_positions", "max_position_embeddings", 1024);
  m.intermediate = either(reader, "n_inner", "intermediate_size", 4 * m.hidden);
  m.head_size = share(m.hidden, m.heads);
  m.kv_heads = m.heads;
  must_be(reader, "num_key_value_heads", m.heads);
  if (m.head_size > 0) must_be(reader, "head_dim", m.head_size);
  m.tied = flag_or(reader, "tie_word_embeddings", true);
  return m;
}

}  // namespace rehearse
