#include "models/families/readers.hpp"

namespace rehearse {

// Defaults of transformers' MistralConfig (Mistral 7B v0.1).
Model read_mistral(Reader& reader) {
  return read_llama_like(reader, {.intermediate_size = 14336, .num_key_value_heads = 8});
}

}  // namespace rehearse
