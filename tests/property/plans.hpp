#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/config/scenario.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {

// Small models whose every dimension differs, so that no two shapes are taken for each other.
inline constexpr const char* kTinyGpt2 =
    "{model_type: gpt2, n_layer: 8, n_embd: 64, n_head: 8, vocab_size: 500, n_positions: 128}";
inline constexpr const char* kTinyLlama =
    "{model_type: llama, num_hidden_layers: 8, hidden_size: 64, num_attention_heads: 8, "
    "num_key_value_heads: 2, intermediate_size: 192, vocab_size: 640, tie_word_embeddings: false}";

// A scenario as a user would write it, one field each for what the tests vary.
struct PlanText {
  std::string model = kTinyGpt2;
  std::string cluster = "{name: dgx-h200, nodes: 1}";
  std::string runtime = "pytorch-eager";
  std::string precision = "bf16", recompute = "none", attention = "flash", dropout = "0";
  int micro_batch = 1, global_batch = 16;
  int tensor = 1, pipeline = 1, virtual_stages = 1, zero = 0;
  std::string schedule = "1f1b", gradient_sync = "overlap", gradient_reduction = "last_micro_batch";
  bool sequence_parallel = false, vocabulary_parallel = false;
  std::string rank_order = "tp-cp-ep-dp-pp", bucket_size = "64 KiB";
  std::string tuned;           // fine-tuning: a key of `training`, with a comma before it
  std::string offload = "[]";  // of `plan`

  std::string text() const {
    return fmt::format(
        "model: {}\ncluster: {}\nruntime: {}\n"
        "training: {{sequence_length: 128, micro_batch_size: {}, global_batch_size: {}, precision: "
        "{}, "
        "recompute: {}, attention: {}, dropout: {}{}}}\n"
        "plan: {{tensor_parallel: {}, pipeline_parallel: {}, virtual_stages: {}, zero_stage: {}, "
        "schedule: {}, gradient_sync: {}, gradient_reduction: {}, sequence_parallel: {}, "
        "vocabulary_parallel: {}, rank_order: {}, bucket_size: {}, offload: {}}}\n",
        model, cluster, runtime, micro_batch, global_batch, precision, recompute, attention,
        dropout, tuned, tensor, pipeline, virtual_stages, zero, schedule, gradient_sync,
        gradient_reduction, sequence_parallel, vocabulary_parallel, rank_order, bucket_size,
        offload);
  }
  Scenario scenario() const { return read_scenarios(parse_text(text(), "plan"), "plan").front(); }
};

inline const std::vector<std::string>& all_schedules() {
  static const std::vector<std::string> names{
      "gpipe", "1f1b", "interleaved-1f1b", "interleaved-zero-bubble", "zb-h1", "zbv", "dualpipe"};
  return names;
}
inline const std::vector<std::string>& all_precisions() {
  static const std::vector<std::string> names{"fp32", "tf32",  "bf16",       "amp",
                                              "fp8",  "mixed", "mixed-fp16", "fsdp-mixed"};
  return names;
}

// Draws plans that fit eight GPUs; the same ones from the same seed everywhere, as the standard's
// distributions would not.
class PlanSource {
 public:
  explicit PlanSource(std::uint32_t seed) : random_(seed) {}

  // A plan that the simulator accepts.
  PlanText next() {
    for (;;) {
      const PlanText plan = any();
      try {
        const Scenario s = plan.scenario();
        const Cluster cluster = read_cluster(s.cluster);
        resolve_plan(s, read_model(s.model), cluster, read_runtime(s.runtime));
        return plan;
      } catch (const UserError&) {
        continue;
      }
    }
  }

 private:
  template <class T>
  T pick(const std::vector<T>& from) {
    return from[random_() % from.size()];
  }
  std::string word(std::initializer_list<const char*> from) {
    return pick(std::vector<std::string>(from.begin(), from.end()));
  }

  PlanText any() {
    PlanText p;
    p.model = word({kTinyGpt2, kTinyLlama});
    p.cluster =
        word({"{name: dgx-h200, nodes: 1}", "{name: dgx-h200, nodes: 2, gpus_per_node: 4}"});
    p.precision = pick(all_precisions());
    p.recompute = word({"none", "selective", "full"});
    p.attention = word({"flash", "unfused"});
    p.dropout = word({"0", "0.1"});
    p.micro_batch = pick<int>({1, 2});
    p.global_batch = 16 * p.micro_batch;
    p.tensor = pick<int>({1, 2, 4, 8});
    p.pipeline = pick<int>({1, 2, 4, 8});
    p.virtual_stages = pick<int>({1, 2});
    p.zero = pick<int>({0, 1, 2, 3});
    p.schedule = pick(all_schedules());
    p.gradient_sync = word({"overlap", "overlap", "end"});
    p.gradient_reduction = word({"last_micro_batch", "every_micro_batch"});
    p.sequence_parallel = random_() % 2 == 0;
    p.vocabulary_parallel = random_() % 2 == 0;
    p.rank_order = word({"tp-cp-ep-dp-pp", "dp-tp-cp-pp", "pp-tp-cp-dp"});
    p.bucket_size = word({"4 KiB", "64 KiB", "25 MiB"});
    p.tuned = word({"", "", "", ", lora: {rank: 4}", ", lora: {rank: 8, targets: [q, v, up, down]}",
                    ", adapter: {rank: 4}", ", trainable_layers: 3", ", trainable_layers: [0, 5]"});
    p.offload = word({"[]", "[]", "[]", "[optimizer]", "[parameters]", "[activations]",
                      "[optimizer, activations]", "[optimizer, parameters, activations]"});
    return p;
  }

  std::mt19937 random_;
};

}  // namespace rehearse
