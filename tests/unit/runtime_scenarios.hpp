#pragma once

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "sim/config/scenario.hpp"
#include "sim/config/value.hpp"
#include "tools/cli/simulation.hpp"

// What runtimes make of small models, read off the program.
namespace rehearse::runtime_test {

struct RuntimeScenario {
  std::string runtime = "megatron";
  std::string model =
      "{model_type: llama, hidden_size: 512, intermediate_size: 1536, num_attention_heads: 8, "
      "num_key_value_heads: 8, num_hidden_layers: 4, vocab_size: 4096, tie_word_embeddings: false}";
  int gpus = 1, nodes = 1;  // GPUs of a node
  std::string host = "{}";
  std::string plan = "data_parallel: 1";
  std::string training = "precision: mixed";
  std::int64_t batch = 1, micro_batch = 1;

  static constexpr std::int64_t kLength = 512, kHidden = 512, kInner = 1536, kLayers = 4,
                                kVocabulary = 4096;

  Simulation run() const {
    const std::string text =
        "model: " + model + "\ncluster: {name: dgx-h100, nodes: " + std::to_string(nodes) +
        ", gpus_per_node: " + std::to_string(gpus) + ", host: " + host +
        "}\ntraining: {sequence_length: 512, micro_batch_size: " + std::to_string(micro_batch) +
        ", global_batch_size: " + std::to_string(batch) + ", " + training + "}\nplan: {" + plan +
        "}\nruntime: " + runtime + "\n";
    return simulate(read_scenarios(parse_text(text, "test"), "test").front());
  }
};

// The names of the kernels of a segment, without memsets.
inline std::vector<std::string> kernels_of(const Simulation& s, const std::string& segment) {
  std::vector<std::string> out;
  for (const Segment& g : s.program.segments) {
    if (g.name != segment) continue;
    for (const Instr& i : g.instrs) {
      const Kernel* k = std::get_if<Kernel>(&i.what);
      if (const auto* o = std::get_if<Overlap>(&i.what)) k = &o->kernel;
      if (k && s.program.names[k->name].find("Memset") == std::string::npos)
        out.push_back(s.program.names[k->name]);
    }
    return out;
  }
  return out;
}

inline std::int64_t count_named(const std::vector<std::string>& names, const std::string& part) {
  return std::count_if(names.begin(), names.end(),
                       [&](const std::string& n) { return n.find(part) != std::string::npos; });
}

// Activations that a block's forward leaves, its output (the next block's input) included.
inline std::int64_t kept_by_block(const Simulation& s) {
  std::int64_t kept = 0;
  for (const Segment& g : s.program.segments) {
    if (g.name != "block forward") continue;
    for (const Instr& i : g.instrs)
      if (const auto* c = std::get_if<MemoryChange>(&i.what);
          c && c->category == MemoryCategory::kActivations)
        kept += c->allocate ? c->bytes.value : -c->bytes.value;
  }
  return kept;
}

inline CommunicationRow row_of(const Simulation& s, const std::string& operation,
                               const std::string& group) {
  for (const CommunicationRow& r : s.report.communication)
    if (r.operation == operation && r.group == group) return r;
  return {};
}

}  // namespace rehearse::runtime_test
