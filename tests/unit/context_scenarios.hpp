#pragma once

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <string>

#include "sim/config/scenario.hpp"
#include "sim/config/value.hpp"
#include "tools/cli/simulation.hpp"

// Idealised scenarios with context parallelism: a GPU of 1 TFLOP/s with an infinitely fast memory,
// so that only matrix products and attention take time, and links that cost nothing unless said.
namespace rehearse::context_test {

inline constexpr double kContextPeak = 1e12;

struct ContextScenario {
  std::int64_t layers = 3, hidden = 256, heads = 8, kv_heads = 8, batch = 2, length = 1024;
  int ranks = 1;
  int gpus = 0;  // 0: as many as ranks
  std::string method = "ring";
  std::string link = "bandwidth: inf, latency: 0 us";
  std::string more_plan = "data_parallel: 1";
  std::string runtime = "pytorch-eager";
  std::string recompute = "none";
  bool causal = true;

  std::string text() const {
    return fmt::format(
        "model: {{model_type: llama, hidden_size: {}, intermediate_size: {}, num_attention_heads: "
        "{},\n"
        "        num_key_value_heads: {}, num_hidden_layers: {}, vocab_size: 512,\n"
        "        tie_word_embeddings: false}}\n"
        "cluster:\n"
        "  gpu: {{architecture: none, sm_count: 1, boost_clock_mhz: 1000, peak: {{bf16: 1 "
        "TFLOP/s}},\n"
        "        memory: 1000 TB, memory_bandwidth: inf}}\n"
        "  gpus_per_node: {}\n"
        "  intra_node: {{type: nvswitch, {}}}\n"
        "training: {{sequence_length: {}, micro_batch_size: {}, global_batch_size: {}, causal: "
        "{},\n"
        "           recompute: {}}}\n"
        "plan: {{context_parallel: {}, context_parallel_method: {}, gradient_sync: end, {}}}\n"
        "runtime: {}\n",
        hidden, 2 * hidden, heads, kv_heads, layers, gpus > 0 ? gpus : ranks, link, length, batch,
        batch, causal, recompute, ranks, method, more_plan, runtime);
  }
  Simulation run() const {
    SimulationOptions options;
    options.ideal = true;
    return simulate(read_scenarios(parse_text(text(), "test"), "test").front(), options);
  }
};

// A row of the report's communication.
struct ContextTraffic {
  std::int64_t count = 0, payload = 0, wire = 0;
  double time = 0, exposed = 0;
};

inline ContextTraffic traffic_of(const Simulation& s, const std::string& operation,
                                 const std::string& group) {
  for (const CommunicationRow& row : s.report.communication)
    if (row.operation == operation && row.group == group)
      return {row.count, row.payload.value, row.wire_bytes_per_rank.value, row.time.value,
              row.exposed.value};
  return {};
}

}  // namespace rehearse::context_test
