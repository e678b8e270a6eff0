#pragma once

#include <string>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/config/scenario.hpp"
#include "strategies/build_program.hpp"
#include "strategies/memory.hpp"

namespace rehearse {

inline constexpr const char* kSmallGpt2 =
    "{model_type: gpt2, n_layer: 4, n_embd: 64, n_head: 8, vocab_size: 512, n_positions: 128}";
inline constexpr const char* kSmallLlama =
    "{model_type: llama, num_hidden_layers: 8, hidden_size: 64, num_attention_heads: 8, "
    "num_key_value_heads: 4, intermediate_size: 192, vocab_size: 512, tie_word_embeddings: false}";

// A scenario up to the program, with every value on the way.
struct Built {
  Scenario scenario;
  Model model;
  Cluster cluster;
  Runtime runtime;
  ResolvedPlan plan;
  Program program;

  const RankProgram& rank(std::size_t i = 0) const { return program.ranks[i]; }
};

// `training` and `plan` are the insides of flow mappings; the cluster has `gpus` GPUs in one node.
struct BuildText {
  std::string model = kSmallLlama;
  int gpus = 1;
  std::string training = "micro_batch_size: 1, global_batch_size: 8";
  std::string plan;
  std::string runtime = "pytorch-eager";

  std::string yaml() const {
    return "model: " + model +
           "\ncluster: {name: dgx-h200, nodes: 1, gpus_per_node: " + std::to_string(gpus) +
           "}\nruntime: " + runtime + "\ntraining: {sequence_length: 128, " + training +
           "}\nplan: {" + plan + "}\n";
  }
};

inline Built build(const BuildText& text, bool fold = true) {
  Built b;
  b.scenario = read_scenarios(parse_text(text.yaml(), "s.yaml"), "s").front();
  b.model = read_model(b.scenario.model);
  b.cluster = read_cluster(b.scenario.cluster);
  b.runtime = read_runtime(b.scenario.runtime);
  b.plan = resolve_plan(b.scenario, b.model, b.cluster, b.runtime);
  b.program = build_program(b.plan, b.model, b.cluster, b.runtime, {fold});
  return b;
}

// What a user reads when the plan is refused; "accepted" when it is not.
inline std::string complaint(const BuildText& text) {
  try {
    build(text);
    return "accepted";
  } catch (const UserError& e) {
    return e.what();
  }
}

// The collectives that a rank issues itself (not those inside segments), in order.
inline std::vector<RunCollective> collectives(const RankProgram& rank) {
  std::vector<RunCollective> out;
  for (const Step& step : rank.steps)
    if (const auto* c = std::get_if<RunCollective>(&step.work)) out.push_back(*c);
  return out;
}

inline std::vector<RunCollective> collectives(const RankProgram& rank, CollectiveOp op) {
  std::vector<RunCollective> out;
  for (const RunCollective& c : collectives(rank))
    if (c.work.op == op) out.push_back(c);
  return out;
}

inline Bytes total_bytes(const std::vector<RunCollective>& list) {
  Bytes sum(0);
  for (const RunCollective& c : list) sum += c.work.bytes;
  return sum;
}

}  // namespace rehearse
