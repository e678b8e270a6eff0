#include "models/families/keys.hpp"
#include "models/families/readers.hpp"

namespace rehearse {

// Defaults of transformers' Qwen3Config. The head size is a key of its own (hidden / heads differs
// in most sizes), and each query and key head is normalised before the rotation.
Model read_qwen3(Reader& reader) {
  Model m = read_llama_like(reader, {.vocab_size = 151936,
                                     .intermediate_size = 22016,
                                     .num_key_value_heads = 32,
                                     .head_dim = 128});
  m.qkv_bias = m.proj_bias = flag_or(reader, "attention_bias", false);
  m.qk_norm = true;
  return m;
}

}  // namespace rehearse
