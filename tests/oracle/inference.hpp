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

}  // namespace rehearse::test
