#pragma once

#include <string>

#include "tests/oracle/ideal.hpp"

// Small idealised scenarios of inference: a llama of `heads` heads without groups.
namespace rehearse::test {

inline constexpr std::int64_t kInferLayers = 4, kInferHidden = 256;

inline Simulation infer(const std::string& task, int heads, int tensor, int pipeline, int batch,
                        int prompt, int context, const std::string& gpu = "inf") {
  return simulate_text(
      fmt::format("model: {{model_type: llama, hidden_size: {}, intermediate_size: 512, "
                  "num_attention_heads: {},"
                  " num_hidden_layers: {}, vocab_size: 512}}\n"
                  "cluster:\n"
                  "  gpu: {{architecture: none, sm_count: 1, boost_clock_mhz: 1000, peak: {{bf16: "
                  "1 TFLOP/s}},\n"
                  "        memory: 1000 TB, memory_bandwidth: {}}}\n"
                  "  gpus_per_node: {}\n"
                  "  intra_node: {{type: nvswitch, bandwidth: inf, latency: 0 us}}\n"
                  "task: {}\n"
                  "inference: {{batch: {}, prompt_length: {}, context_length: {}}}\n"
                  "plan: {{tensor_parallel: {}, pipeline_parallel: {}}}\n",
                  kInferHidden, heads, kInferLayers, gpu, tensor * pipeline, task, batch, prompt,
                  context, tensor, pipeline));
}

// The same with latent attention, all layers dense: `inference` adds to the task's settings.
inline constexpr std::int64_t kLatentLayers = 4, kLatentHidden = 256, kLatentHeads = 4,
                              kLatentRank = 64, kLatentRotary = 16, kLatentPlain = 32,
                              kLatentValue = 24, kLatentInner = 512, kLatentVocabulary = 512;

inline Simulation infer_latent(const std::string& task, const std::string& inference, int tensor,
                               int pipeline, int batch, int prompt, int context,
                               const std::string& bandwidth = "inf") {
  return simulate_text(fmt::format(
      "model: {{model_type: deepseek_v2, hidden_size: {}, intermediate_size: {}, "
      "num_attention_heads: {}, num_key_value_heads: {}, num_hidden_layers: {}, vocab_size: {}, "
      "q_lora_rank: null, kv_lora_rank: {}, qk_rope_head_dim: {}, qk_nope_head_dim: {}, "
      "v_head_dim: {}, n_routed_experts: 8, first_k_dense_replace: {}}}\n"
      "cluster:\n"
      "  gpu: {{architecture: none, sm_count: 1, boost_clock_mhz: 1000, peak: {{bf16: 1 "
      "TFLOP/s}},\n"
      "        memory: 1000 TB, memory_bandwidth: {}}}\n"
      "  gpus_per_node: {}\n"
      "  intra_node: {{type: nvswitch, bandwidth: inf, latency: 0 us}}\n"
      "task: {}\n"
      "inference: {{batch: {}, prompt_length: {}, context_length: {}{}}}\n"
      "plan: {{tensor_parallel: {}, pipeline_parallel: {}}}\n",
      kLatentHidden, kLatentInner, kLatentHeads, kLatentHeads, kLatentLayers, kLatentVocabulary,
      kLatentRank, kLatentRotary, kLatentPlain, kLatentValue, kLatentLayers, bandwidth,
      tensor * pipeline, task, batch, prompt, context, inference, tensor, pipeline));
}

}  // namespace rehearse::test
