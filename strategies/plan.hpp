#pragma once

#include <string>
#include <utility>
#include <vector>

#include "hardware/cluster.hpp"
#include "models/model.hpp"
#include "models/op_graph.hpp"
#include "sim/config/scenario.hpp"
#include "strategies/runtime.hpp"
#include "strategies/schedules/schedule.hpp"

namespace rehearse {

// A scenario's plan with every number settled and every combination checked.
struct ResolvedPlan {
  int data = 1, tensor = 1, context = 1, pipeline = 1;
  int expert = 1;         // ranks that share experts, counted among tensor x context x data
  int expert_tensor = 1;  // ranks that cut each expert
  int chunks = 1;         // per pipeline rank
  int micro_batches = 1;  // per data-parallel rank and step
  const Schedule* schedule = nullptr;
  std::vector<int> stage_layers;  // of every stage in model order
  int gpus_per_node = 1;
  AttentionMethod attention = AttentionMethod::kFlash;
  bool reorders_attention = false;  // in training, where nothing else moves its result
  Plan plan;
  Training training;
  Task task = Task::kTraining;
  Inference inference;

  int ranks() const { return data * tensor * context * pipeline; }
  // Of one copy of the model, and the micro-batches that it runs.
  int stages() const { return pipeline * chunks / schedule->copies(); }
  int micro_batches_of_copy() const { return micro_batches / schedule->copies(); }
  // Ranks that hold the same parameters and meet to reduce gradients; ZeRO cuts over them.
  int replicas() const { return data * context; }
  // Whether each of them keeps a part alone (FSDP, which offloads parameters of one replica too).
  bool shards() const {
    return plan.zero_stage >= 2 && (replicas() > 1 || plan.offload.parameters);
  }
  // Those of a layer's experts.
  int expert_replicas() const { return tensor * context * data / (expert * expert_tensor); }
  // Of latent attention in inference.
  bool absorbs_latents() const {
    return inference.latent_attention.value_or(
               task == Task::kDecode ? CachedLatents::kAbsorbed : CachedLatents::kUnabsorbed) ==
           CachedLatents::kAbsorbed;
  }

  bool operator==(const ResolvedPlan&) const = default;
};

// Throws UserError with everything that does not fit together, at the lines that say it: GPUs that
// do not multiply out, heads that do not divide, micro-batches that do not divide, more chunks than
// layers, combinations that no framework offers.
ResolvedPlan resolve_plan(const Scenario& scenario, const Model& model, const Cluster& cluster,
                          const Runtime& runtime);

// Layers of each stage when the file says `auto`, as the runtime cuts (interface.md).
std::vector<int> automatic_cuts(int layers, int stages, bool megatron);

// "optimizer, activations", "nothing"
std::string offload_text(const Offload& offload);
// "dp 4", "tp 2 pp 2 1f1b", ...
std::string plan_text(const ResolvedPlan& plan);

// What plans differ in, as people write it: {"TP", "8"}, {"ZeRO", "1"}, {"recompute", "full"}, ...
std::vector<std::pair<std::string, std::string>> plan_settings(const ResolvedPlan& plan);

// Global ranks, innermost axis first as `rank_order` says.
struct RankMap {
  std::vector<std::string> order;
  int data = 1, tensor = 1, context = 1, pipeline = 1;
  int ranks() const { return data * tensor * context * pipeline; }

  struct Place {
    int data = 0, tensor = 0, context = 0, pipeline = 0;
  };
  int rank_of(const Place& p) const;
  Place place_of(int rank) const;
  // Ranks that differ from `p` along one axis ("tp", "cp", "dp", "pp") alone, in order.
  std::vector<int> group(const Place& p, const std::string& axis) const;
  // The ranks of one stage, innermost axis first: what expert parallelism divides.
  std::vector<int> stage_ranks(int pipeline) const;
};
RankMap rank_map(const ResolvedPlan& plan);

}  // namespace rehearse
