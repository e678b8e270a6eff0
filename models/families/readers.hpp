#pragma once

#include <cstdint>

#include "models/model.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {

// One function a family, each in its own file.
Model read_gpt2(Reader& reader);
Model read_llama(Reader& reader);
Model read_mistral(Reader& reader);
Model read_mpt(Reader& reader);
Model read_qwen2(Reader& reader);
Model read_qwen3(Reader& reader);
Model read_mixtral(Reader& reader);
Model read_qwen3_moe(Reader& reader);
Model read_deepseek_v2(Reader& reader);
Model read_deepseek_v3(Reader& reader);
Model read_gpt_oss(Reader& reader);
Model read_megatron_gpt(Reader& reader);

// What Hugging Face's config class of a Llama-like family fills in for a missing key.
struct LlamaDefaults {
  std::int64_t vocab_size = 32000;
  std::int64_t hidden_size = 4096;
  std::int64_t intermediate_size = 11008;
  std::int64_t num_hidden_layers = 32;
  std::int64_t num_attention_heads = 32;
  std::int64_t num_key_value_heads = 0;  // 0: as many as attention heads
  std::int64_t head_dim = 0;             // 0: hidden_size / num_attention_heads
};

// The shape that llama, mistral, qwen2 and qwen3 share; no biases, RMS norm, SwiGLU, rotary.
Model read_llama_like(Reader& reader, const LlamaDefaults& defaults);

// The size of a head when the heads share the hidden size evenly; 0 when they cannot, which
// read_model() reports.
constexpr std::int64_t share(std::int64_t hidden, std::int64_t heads) {
  return hidden % heads == 0 ? hidden / heads : 0;
}

}  // namespace rehearse
