#include "strategies/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "models/fine_tuning.hpp"
#include "sim/base/error.hpp"
#include "sim/base/suggest.hpp"

namespace rehearse {
namespace {

// Round half to even, as Python's round.
int rounded(double x) { return static_cast<int>(std::nearbyint(x)); }

class Checker {
 public:
  Checker(const Scenario& s, const Model& m, const Cluster& c, const Runtime& r)
      : s_(s), model_(m), cluster_(c), runtime_(r) {}

  ResolvedPlan resolve() {
    out_.plan = s_.plan;
    out_.training = s_.training;
    out_.task = s_.task;
    out_.inference = s_.inference;
    out_.tensor = s_.plan.tensor_parallel;
    out_.context = s_.plan.context_parallel;
    out_.pipeline = s_.plan.pipeline_parallel;
    degrees();
    inference();
    schedule();
    micro_batches();
    tensor();
    stages();
    experts();
    data();
    attention();
    context();
    fine_tuning();
    offload();
    gpu_types();
    errors_.throw_if_any();
    return out_;
  }

 private:
  void error(const std::string& key, std::string message, std::string hint = {}) {
    errors_.add(s_.mark_of(key), std::move(message), std::move(hint));
  }

  void degrees() {
    const int gpus = cluster_.gpus();
    const int fixed = out_.tensor * out_.context * out_.pipeline;
    out_.data = s_.plan.data_parallel;
    if (out_.data == 0) {
      out_.data = std::max(1, gpus / fixed);
      if (out_.data * fixed != gpus)
        error("plan",
              fmt::format("tensor_parallel {} x context_parallel {} x pipeline_parallel {} = {} "
                          "does not divide the cluster's {} GPUs",
                          out_.tensor, out_.context, out_.pipeline, fixed, gpus));
    } else if (out_.ranks() != gpus) {
      error("plan.data_parallel",
            fmt::format("data_parallel {} x tensor_parallel {} x context_parallel {} x "
                        "pipeline_parallel {} = {} ranks, but the cluster has {} GPUs",
                        out_.data, out_.tensor, out_.context, out_.pipeline, out_.ranks(), gpus),
            fixed > 0 && gpus % fixed == 0
                ? fmt::format("data_parallel: {} would use them all", gpus / fixed)
                : "");
    }
  }

  // One pass, forward alone, of every replica.
  void inference() {
    if (s_.task == Task::kTraining) return;
    out_.training.global_batch_size = s_.training.micro_batch_size * out_.data;
    const Plan& p = s_.plan;
    const auto refuse = [&](bool given, const char* key) {
      if (given)
        error(std::string("plan.") + key, fmt::format("inference is not simulated with {}", key));
    };
    refuse(p.context_parallel > 1, "context_parallel");
    refuse(p.sequence_parallel && p.tensor_parallel > 1, "sequence_parallel");
    refuse(p.vocabulary_parallel && p.tensor_parallel > 1, "vocabulary_parallel");
    refuse(p.zero_stage > 0, "zero_stage");
    refuse(p.virtual_stages > 1, "virtual_stages");
    if (s_.inference.latent_attention && model_.latent.rank == 0)
      error("inference.latent_attention",
            fmt::format("model {} has no latent attention", model_.name));
    if (p.pipeline_parallel > 1 && s_.inference.cuda_graph)
      error("inference.cuda_graph", "a CUDA graph holds no messages between pipeline stages");
  }

  void schedule() {
    std::string name = s_.plan.schedule;
    out_.chunks = s_.plan.virtual_stages;
    if (name == "1f1b" && out_.chunks > 1) name = "interleaved-1f1b";
    out_.schedule = find_schedule(name);
    if (!out_.schedule) {
      error("plan.schedule", fmt::format("no schedule '{}'", name),
            suggestion(name, schedule_names()));
      out_.schedule = find_schedule("1f1b");
      return;
    }
    if (out_.pipeline == 1) {
      if (out_.chunks > 1 && name != "interleaved-1f1b")
        error("plan.virtual_stages", "virtual_stages needs pipeline_parallel of at least 2");
      out_.chunks = 1;
      // Without a pipeline each micro-batch runs forward and backward in turn, as 1F1B does.
      out_.schedule = find_schedule("1f1b");
      return;
    }
    const int needed = out_.schedule->chunks_per_rank;
    if (needed > 0 && out_.chunks != needed) {
      if (out_.chunks != 1)
        error("plan.virtual_stages",
              fmt::format("schedule {} has {} chunk{} a rank, not {}", name, needed,
                          needed == 1 ? "" : "s", out_.chunks),
              needed == 1 ? "schedule: interleaved-1f1b takes several" : "");
      out_.chunks = needed;
    }
  }

  void micro_batches() {
    const auto& t = out_.training;
    const std::int64_t per_pass = t.micro_batch_size * out_.data;
    if (t.global_batch_size % per_pass != 0) {
      error("training.global_batch_size",
            fmt::format("global_batch_size {} is not a multiple of micro_batch_size {} x "
                        "data_parallel {} = {}",
                        t.global_batch_size, t.micro_batch_size, out_.data, per_pass));
      return;
    }
    out_.micro_batches = static_cast<int>(t.global_batch_size / per_pass);
    if (out_.pipeline == 1) return;
    const std::string need =
        out_.schedule->misfit({out_.pipeline, 0, out_.micro_batches, out_.chunks});
    if (!need.empty())
      error("plan.schedule", fmt::format("schedule {} needs {}", out_.schedule->name, need),
            "change global_batch_size or micro_batch_size");
  }

  void divides(const std::string& key, std::int64_t size, const char* what, int by) {
    if (size % by != 0)
      error(key, fmt::format("{} {} of model {} do not divide by {} {}", size, what, model_.name,
                             key.substr(key.find('.') + 1), by));
  }

  void tensor() {
    const int t = out_.tensor;
    divides("plan.tensor_parallel", model_.heads, "heads", t);
    divides("plan.tensor_parallel", model_.intermediate, "intermediate columns", t);
    if (model_.kv_heads % t != 0 && t % model_.kv_heads != 0)
      error("plan.tensor_parallel",
            fmt::format("{} key-value heads of model {} neither divide by tensor_parallel {} nor "
                        "into it",
                        model_.kv_heads, model_.name, t));
    if (s_.plan.sequence_parallel && t > 1) {
      const std::int64_t local = s_.training.sequence_length / out_.context;
      if (local % t != 0)
        error("plan.sequence_parallel",
              fmt::format("sequence_length {} does not divide by tensor_parallel {}", local, t));
    }
  }

  void stages() {
    const int stages = out_.stages();
    out_.stage_layers = s_.plan.stage_layers;
    // A chunk of embedding or head alone is one: Megatron counts them as layers.
    const bool ends_are_layers = runtime_.name == "megatron" && stages == model_.layers + 2;
    if (stages > model_.layers && out_.stage_layers.empty() && !ends_are_layers) {
      error("plan.pipeline_parallel",
            fmt::format("{} model chunks (pipeline_parallel {} x virtual_stages {}) are more than "
                        "the {} layers of model {}",
                        stages, out_.pipeline, out_.chunks, model_.layers, model_.name));
      return;
    }
    if (out_.stage_layers.empty()) {
      out_.stage_layers =
          automatic_cuts(static_cast<int>(model_.layers), stages, runtime_.name == "megatron");
      return;
    }
    const int sum = std::accumulate(out_.stage_layers.begin(), out_.stage_layers.end(), 0);
    if (static_cast<int>(out_.stage_layers.size()) != stages)
      error("plan.stage_layers", fmt::format("stage_layers has {} numbers for {} chunks",
                                             out_.stage_layers.size(), stages));
    else if (sum != model_.layers)
      error("plan.stage_layers",
            fmt::format("stage_layers add up to {}, but model {} has {} layers", sum, model_.name,
                        model_.layers));
  }

  void attention() {
    if (s_.training.attention == AttentionKind::kUnfused) {
      out_.attention = AttentionMethod::kUnfused;
      return;
    }
    const std::int64_t heads = model_.heads / out_.tensor,
                       kv = std::max<std::int64_t>(1, model_.kv_heads / out_.tensor);
    const Runtime& runtime = runtime_.in_blocks();
    const bool repeats = runtime.repeats_heads && heads != kv;
    const FusedAttention* fused = runtime.fused_attention(
        out_.training.precision.compute, heads != kv && !repeats, model_.head_size);
    out_.attention = !fused    ? AttentionMethod::kMath
                     : repeats ? AttentionMethod::kRepeated
                               : AttentionMethod::kFlash;
    out_.reorders_attention =
        fused && fused->batch_first && s_.task == Task::kTraining && out_.context == 1;
    if (!fused && s_.task != Task::kTraining)
      error("training.precision",
            fmt::format("runtime {} has no fused attention in {} for model {}, and inference needs "
                        "one that reads a cache",
                        runtime_.name, to_string(out_.training.precision.compute), model_.name));
  }

  void context() {
    const int c = out_.context;
    if (c == 1) return;
    if (s_.training.sequence_length % c != 0)
      error("plan.context_parallel",
            fmt::format("sequence_length {} does not divide by context_parallel {}",
                        s_.training.sequence_length, c));
    if (s_.plan.context_parallel_method == ContextParallelMethod::kUlysses) {
      divides("plan.context_parallel", model_.heads / out_.tensor, "heads (of one rank)", c);
      const std::int64_t kv = std::max<std::int64_t>(1, model_.kv_heads / out_.tensor);
      if (kv % c != 0 && c % kv != 0)
        error("plan.context_parallel",
              fmt::format("{} key-value heads (of one rank) of model {} neither divide by "
                          "context_parallel {} nor into it",
                          kv, model_.name, c));
    } else if (s_.training.causal && s_.training.sequence_length % (2 * c) != 0) {
      error("plan.context_parallel",
            fmt::format("a causal mask is balanced over two chunks a rank, but sequence_length {} "
                        "does not divide by 2 x context_parallel {}",
                        s_.training.sequence_length, c));
    }
    if (s_.training.attention == AttentionKind::kUnfused)
      error("plan.context_parallel", "context parallelism needs attention: flash");
    else if (out_.attention == AttentionMethod::kMath)
      error("plan.context_parallel",
            fmt::format("runtime {} has no fused attention in {} for model {}, and context "
                        "parallelism needs one",
                        runtime_.name, to_string(out_.training.precision.compute), model_.name));
  }

  // Experts are spread over ranks that tensor, context and data parallelism use for everything else
  // (Megatron's parallel folding).
  void experts() {
    const auto& p = s_.plan;
    out_.expert = p.expert_parallel;
    if (model_.experts.count == 0) {
      for (const char* key : {"plan.expert_parallel", "plan.expert_tensor_parallel"})
        if (p.expert_parallel > 1 || p.expert_tensor_parallel > 1)
          return error(key, fmt::format("model {} has no experts", model_.name));
      return;
    }
    const int ranks = out_.tensor * out_.context * out_.data;
    out_.expert_tensor = p.expert_tensor_parallel;
    if (out_.expert_tensor == 0)
      out_.expert_tensor = ranks % (out_.expert * out_.tensor) == 0 ? out_.tensor : 1;
    divides("plan.expert_parallel", model_.experts.count, "experts", out_.expert);
    divides("plan.expert_tensor_parallel", model_.experts.intermediate, "columns of an expert",
            out_.expert_tensor);
    if (ranks % (out_.expert * out_.expert_tensor) != 0)
      error("plan.expert_parallel",
            fmt::format("expert_parallel {} x expert_tensor_parallel {} does not divide "
                        "tensor_parallel {} x context_parallel {} x data_parallel {} = {}",
                        out_.expert, out_.expert_tensor, out_.tensor, out_.context, out_.data,
                        ranks));
    if (out_.expert_tensor != out_.tensor && out_.expert_tensor != 1)
      error("plan.expert_tensor_parallel",
            fmt::format("experts are cut over all {} tensor-parallel ranks or over none",
                        out_.tensor));
    const bool beside = out_.expert > 1 || out_.expert_tensor != out_.tensor;
    if (out_.tensor > 1 && beside && s_.task != Task::kTraining)
      error("plan.expert_parallel",
            "in inference experts are spread over data_parallel ranks, or cut over tensor_parallel "
            "ones");
    else if (out_.tensor > 1 && !p.sequence_parallel && beside)
      error("plan.sequence_parallel",
            "experts spread over ranks beside tensor_parallel need sequence_parallel, so that each "
            "rank routes tokens of its own");
    if (out_.expert > 1 && s_.training.sequence_length % out_.context == 0 &&
        out_.data % out_.expert != 0 && runtime_.name != "megatron")
      error("plan.expert_parallel",
            fmt::format("this runtime spreads experts over data-parallel ranks, but data_parallel "
                        "{} does not divide by expert_parallel {}",
                        out_.data, out_.expert));
  }

  void data() {
    const auto& p = s_.plan;
    if (p.zero_stage >= 2 && p.gradient_sync == GradientSync::kEnd)
      error(
          "plan.gradient_sync",
          fmt::format("gradient_sync: end is plain data parallelism; zero_stage {} reduces during "
                      "backward",
                      p.zero_stage));
    if (p.zero_stage >= 2 && (out_.data > 1 || p.offload.parameters) && out_.pipeline > 1 &&
        out_.schedule->splits_backward)
      error("plan.zero_stage",
            fmt::format("schedule {} splits backward, which FSDP (zero_stage 2 and 3) cannot",
                        out_.schedule->name));
    // FSDP's policy without FSDP is what torch.autocast does over fp32 parameters.
    Precision& precision = out_.training.precision;
    if (precision.sharded_fp32 && p.zero_stage < 2) {
      precision.sharded_fp32 = false;
      precision.autocast = true;
    }
  }

  void fine_tuning() {
    FineTuning& f = out_.training.fine_tuning;
    const std::vector<std::string> names =
        f.targets.empty() ? std::vector<std::string>{} : projection_names(model_);
    for (const std::string& target : f.targets)
      if (std::find(names.begin(), names.end(), target) == names.end())
        error("training.lora",
              fmt::format("model {} has no projection '{}' that LoRA could be put on", model_.name,
                          target),
              suggestion(target, names));
    if (f.kind != FineTuning::Kind::kLayers) return;
    const auto layers = static_cast<int>(model_.layers);
    if (f.last > layers || (!f.layers.empty() && f.layers.back() >= layers))
      return error("training.trainable_layers",
                   fmt::format("model {} has {} layers, 0 to {}", model_.name, layers, layers - 1));
    for (int l = layers - static_cast<int>(f.last); l < layers; ++l) f.layers.push_back(l);
    f.last = 0;
  }

  void offload() {
    const Offload& o = s_.plan.offload;
    out_.gpus_per_node = cluster_.gpus_per_node;
    if (!o.any()) return;
    const auto refuse = [&](std::string message, std::string hint = {}) {
      error("plan.offload", std::move(message), std::move(hint));
    };
    if (s_.task != Task::kTraining) return refuse("inference is not simulated with offload");
    if (cluster_.gpu.host_link.bandwidth.value == 0)
      refuse(fmt::format("GPU {} does not say how fast its link to the host is", cluster_.gpu.name),
             "host_link in the GPU's file does");
    if (o.updates_on_host() && runtime_.host_update_bandwidth.value == 0)
      refuse(fmt::format("runtime {} does not say how fast the host updates", runtime_.name),
             "host.update_bandwidth in the runtime's file does");
    if (o.parameters && s_.plan.zero_stage < 2)
      refuse("parameters are offloaded as FSDP keeps them, in shards",
             "zero_stage: 3 (or 2) shards them, on one GPU too");
    if (o.updates_on_host() && out_.pipeline > 1 && out_.schedule->copies() > 1)
      refuse(
          fmt::format("schedule {} keeps two copies of every parameter, which are not updated "
                      "on the host",
                      out_.schedule->name));
    if (o.activations && out_.pipeline > 1 && out_.schedule->splits_backward)
      refuse(fmt::format("schedule {} splits backward, and would need activations twice",
                         out_.schedule->name));
  }

  // Ranks that meet in every segment go at the pace of the slowest, which two types of GPU may be
  // in turn.
  void gpu_types() {
    if (cluster_.other_gpus.empty() || out_.ranks() != cluster_.gpus()) return;
    const RankMap map = rank_map(out_);
    for (int rank = 0; rank < cluster_.gpus(); ++rank) {
      RankMap::Place first = map.place_of(rank);
      first.tensor = first.context = 0;
      const int type = gpu_state(cluster_, rank).gpu_type;
      const int expected = gpu_state(cluster_, map.rank_of(first)).gpu_type;
      if (type == expected) continue;
      error("cluster",
            fmt::format("GPU {} is a {} and GPU {} a {}, and both are in one tensor- or "
                        "context-parallel group",
                        map.rank_of(first), cluster_.gpu_of_type(expected).name, rank,
                        cluster_.gpu_of_type(type).name),
            "types of GPU may differ between pipeline stages and data-parallel ranks");
      return;
    }
  }

  const Scenario& s_;
  const Model& model_;
  const Cluster& cluster_;
  const Runtime& runtime_;
  ResolvedPlan out_;
  Diagnostics errors_;
};

}  // namespace

std::vector<int> automatic_cuts(int layers, int stages, bool megatron) {
  std::vector<int> out;
  if (megatron && layers % stages != 0 && (layers + 2) % stages == 0 && stages > 1) {
    out.assign(static_cast<std::size_t>(stages), (layers + 2) / stages);
    --out.front();
    --out.back();
    return out;
  }
  if (megatron && layers % stages != 0) {  // as even as possible, the first stages one more
    for (int i = 0; i < stages; ++i) out.push_back(layers / stages + (i < layers % stages ? 1 : 0));
    return out;
  }
  for (int i = 0; i < stages; ++i)
    out.push_back(rounded(static_cast<double>(i + 1) * layers / stages) -
                  rounded(static_cast<double>(i) * layers / stages));
  return out;
}

ResolvedPlan resolve_plan(const Scenario& scenario, const Model& model, const Cluster& cluster,
                          const Runtime& runtime) {
  return Checker(scenario, model, cluster, runtime).resolve();
}

}  // namespace rehearse
