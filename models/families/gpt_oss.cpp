#include "models/families/keys.hpp"
#include "models/families/readers.hpp"

namespace rehearse {

// Defaults of transformers' GptOssConfig (120B): biases everywhere, a learned sink in each head's
// softmax, experts in every layer. Half of the layers attend to a window of 128 tokens, which is
// not modelled.
Model read_gpt_oss(Reader& reader) {
  Model m = read_llama_like(reader, {.vocab_size = 201088,
                                     .hidden_size = 2880,
                                     .intermediate_size = 2880,
                                     .num_hidden_layers = 36,
                                     .num_attention_heads = 64,
                                     .num_key_value_heads = 8,
                                     .head_dim = 64});
  m.qkv_bias = m.proj_bias = flag_or(reader, "attention_bias", true);
  m.sinks = true;
  m.experts.count = count_or(reader, "num_local_experts", 128);
  m.experts.per_token =
      count_or(reader, "num_experts_per_tok", count_or(reader, "experts_per_token", 4));
  m.experts.intermediate = m.intermediate;
  m.experts.bias = m.experts.router_bias = true;
  m.expert_layers.assign(static_cast<std::size_t>(m.layers), true);
  return m;
}

}  // namespace rehearse
