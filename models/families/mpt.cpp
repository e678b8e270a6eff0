#include <array>
#include <string>

#include "models/families/keys.hpp"
#include "models/families/readers.hpp"

namespace rehearse {

// MosaicML's MPT: pre-norm blocks with layer norm and GELU, no biases anywhere, positions learned
// or by slopes added to the scores (ALiBi, which costs no table). Defaults of transformers'
// MptConfig.
Model read_mpt(Reader& reader) {
  Model m;
  m.norm = NormKind::kLayerNorm;
  m.activation = ActivationKind::kGelu;
  const bool biased = !flag_or(reader, "no_bias", true);
  m.qkv_bias = m.proj_bias = m.mlp_bias = m.norm_bias = biased;
  m.vocabulary = count_or(reader, "vocab_size", 50368);
  m.hidden = count_or(reader, "d_model", 2048);
  m.layers = count_or(reader, "n_layers", 24);
  m.heads = count_or(reader, "n_heads", 16);
  m.kv_heads = m.heads;
  m.max_positions = count_or(reader, "max_seq_len", 2048);
  m.intermediate = count_or(reader, "expansion_ratio", 4) * m.hidden;
  m.head_size = share(m.hidden, m.heads);
  Reader attention = reader.child("attn_config");
  const bool slopes = flag_or(attention, "alibi", true);
  const std::array implementation{std::string("attn_impl"),     std::string("attn_type"),
                                  std::string("attn_pdrop"),    std::string("clip_qkv"),
                                  std::string("softmax_scale"), std::string("alibi_bias_max")};
  attention.ignore(implementation);
  attention.finish();
  m.position = slopes ? PositionKind::kNone : PositionKind::kLearned;
  m.tied = flag_or(reader, "tie_word_embeddings", true);
  return m;
}

}  // namespace rehearse
