#include "models/families/keys.hpp"
#include "models/families/readers.hpp"

namespace rehearse {

Model read_llama_like(Reader& reader, const LlamaDefaults& defaults) {
  Model m;
  m.vocabulary = count_or(reader, "vocab_size", defaults.vocab_size);
  m.hidden = count_or(reader, "hidden_size", defaults.hidden_size);
  m.intermediate = count_or(reader, "intermediate_size", defaults.intermediate_size);
  m.layers = count_or(reader, "num_hidden_layers", defaults.num_hidden_layers);
  m.heads = count_or(reader, "num_attention_heads", defaults.num_attention_heads);
  m.kv_heads = count_or(reader, "num_key_value_heads",
                        defaults.num_key_value_heads != 0 ? defaults.num_key_value_heads : m.heads);
  const std::int64_t head_dim =
      defaults.head_dim != 0 ? defaults.head_dim : share(m.hidden, m.heads);
  m.head_size = count_or(reader, "head_dim", head_dim);
  count_or(reader, "max_position_embeddings", 1);  // a rotary model has no table of positions
  m.tied = flag_or(reader, "tie_word_embeddings", false);
  return m;
}

// Defaults of transformers' LlamaConfig (Llama 2 7B).
Model read_llama(Reader& reader) {
  Model m = read_llama_like(reader, {});
  m.qkv_bias = m.proj_bias = flag_or(reader, "attention_bias", false);
  m.mlp_bias = flag_or(reader, "mlp_bias", false);
  return m;
}

}  // namespace rehearse
