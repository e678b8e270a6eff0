#include "models/families/readers.hpp"

namespace rehearse {

// Defaults of transformers' Qwen2Config. Queries, keys and values always have biases; the output
// projection never has.
Model read_qwen2(Reader& reader) {
  Model m = read_llama_like(
      reader, {.vocab_size = 151936, .intermediate_size = 22016, .num_key_value_heads = 32});
  m.qkv_bias = true;
  return m;
}

}  // namespace rehearse
