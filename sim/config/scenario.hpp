#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/base/dtype.hpp"
#include "sim/base/quantity.hpp"
#include "sim/config/catalog.hpp"
#include "sim/config/fine_tuning.hpp"

namespace rehearse {

// What backward computes again of a layer: nothing; attention's core (Megatron's selective); all of
// it; what PyTorch's per-operator checkpointing does not save (`operators`: every second product
// and all that is no product and no attention); or all of every second layer (`alternate`).
enum class Recompute : std::uint8_t { kNone, kSelective, kFull, kOperators, kAlternate };
inline constexpr const char* kRecomputeNames[] = {"none", "selective", "full", "operators",
                                                  "alternate"};
enum class OptimizerKind : std::uint8_t { kAdamW, kSgd };
enum class AttentionKind : std::uint8_t { kFlash, kUnfused };
enum class GradientSync : std::uint8_t { kOverlap, kEnd };
enum class PipelineMessages : std::uint8_t { kOverlap, kBlocking };
enum class GradientReduction : std::uint8_t { kLastMicroBatch, kEveryMicroBatch };
enum class ContextParallelMethod : std::uint8_t { kRing, kAllGather, kUlysses };
enum class ExpertDispatch : std::uint8_t { kAllToAll, kAllGather };

// Which type each kind of number has. Presets are in interface.md.
struct Precision {
  std::string name = "bf16";  // the preset, or "custom"
  DType parameters = DType::kBf16;
  DType compute = DType::kBf16;  // what activations have
  DType matmul = DType::kBf16;   // = compute, but kFp8 under fp8 and kTf32 under tf32
  DType gradients = DType::kBf16;
  DType reduce = DType::kBf16;
  DType optimizer_states = DType::kBf16;
  bool master_weights = false;  // an fp32 copy of the parameters in the optimizer
  bool autocast = false;        // torch.autocast: fp32 parameters cast at use (the preset amp)
  bool sharded_fp32 = false;    // fsdp-mixed: parameters gathered in `compute`

  bool operator==(const Precision&) const = default;
};

// How evenly a router spreads tokens over experts: all alike, or by Zipf's law (the i-th most
// wanted expert gets a share of 1 / i^exponent), in an order drawn from the seed.
enum class LoadDistribution : std::uint8_t { kUniform, kZipf };
struct ExpertLoad {
  LoadDistribution distribution = LoadDistribution::kUniform;
  double exponent = 0.5;
  std::int64_t seed = 1;

  bool operator==(const ExpertLoad&) const = default;
};

struct Training {
  std::int64_t sequence_length = 0;
  std::int64_t micro_batch_size = 0;
  std::int64_t global_batch_size = 0;
  Precision precision;
  Recompute recompute = Recompute::kNone;
  OptimizerKind optimizer = OptimizerKind::kAdamW;
  AttentionKind attention = AttentionKind::kFlash;
  double dropout = 0;
  bool causal = true;
  // Every step trains on the same random tokens, as benchmarks do: rows of the embedding that none
  // of them has never have a gradient.
  bool repeats_batch = false;
  ExpertLoad expert_load;
  FineTuning fine_tuning;

  bool operator==(const Training&) const = default;
};

enum class Task : std::uint8_t { kTraining, kPrefill, kDecode, kServing };

// What attention through latents does with those in the cache.
enum class CachedLatents : std::uint8_t { kUnabsorbed, kAbsorbed };

// Of prefill and decode: one step is a prefill of the batch, or one token for each of its
// sequences.
struct Inference {
  std::int64_t batch = 1;           // sequences of one data-parallel replica
  std::int64_t prompt_length = 0;   // tokens of each that are prefilled together
  std::int64_t context_length = 0;  // tokens in the cache when a token is decoded
  bool cuda_graph = false;
  // Where it is not said, prefill expands latents and decode absorbs the products with them.
  std::optional<CachedLatents> latent_attention;

  // Tokens that the cache has room for: it is made once, for the longest that it will hold.
  std::int64_t cache_length() const {
    return (prompt_length > context_length ? prompt_length : context_length) + 1;
  }
  bool operator==(const Inference&) const = default;
};

enum class Batching : std::uint8_t { kStatic, kContinuous, kChunkedPrefill };

// Tokens of a prompt or an answer, at random.
struct Lengths {
  enum class Kind : std::uint8_t { kConstant, kUniform, kExponential, kLogNormal };
  Kind kind = Kind::kConstant;
  double mean = 0;           // of all but uniform; of log-normal the median
  double sigma = 0;          // log-normal: of the logarithm
  double low = 1, high = 1;  // uniform, both ends included
};

// A draft model proposes `tokens`, and the model accepts each, until the first that it rejects,
// with probability `acceptance` (Leviathan et al. 2023).
struct Speculation {
  Value draft;  // a model
  int tokens = 4;
  double acceptance = 0.8;
};

// Requests that arrive over time, and how they are batched.
struct Serving {
  double rate = 0;    // a second, Poisson
  std::string trace;  // or a file: arrival_s,prompt_tokens,output_tokens
  std::int64_t requests = 1000;
  std::uint64_t seed = 1;
  Lengths prompt, output;
  Batching batching = Batching::kContinuous;
  std::int64_t max_batch_tokens = 8192;  // of prompts in one step
  std::int64_t max_batch_size = 256;     // sequences in one step
  std::int64_t block_tokens = 16;        // of the paged cache
  bool cuda_graph = true;
  std::optional<Speculation> speculation;
  int prefill_gpus = 0, decode_gpus = 0;  // 0: every GPU does both
};

// What lives in the host's memory and travels over the link to the GPU.
struct Offload {
  bool optimizer = false;    // its states: the host's processors update
  bool parameters = false;   // and with them all that is of parameters (ZeRO 2 and 3)
  bool activations = false;  // from a layer's forward to its backward

  bool updates_on_host() const { return optimizer || parameters; }
  bool any() const { return optimizer || parameters || activations; }
  bool operator==(const Offload&) const = default;
};

struct Plan {
  int data_parallel = 0;  // 0: derived from the cluster's size
  int tensor_parallel = 1;
  bool sequence_parallel = false;
  bool vocabulary_parallel = false;  // default depends on the runtime; resolved when parsed
  int pipeline_parallel = 1;
  std::string schedule = "1f1b";
  int virtual_stages = 1;
  std::vector<int> stage_layers;  // empty: auto
  int context_parallel = 1;
  ContextParallelMethod context_parallel_method = ContextParallelMethod::kRing;
  int expert_parallel = 1;  // ranks that share a layer's experts, out of tensor x context x data
  int expert_tensor_parallel = 0;  // ranks that cut one expert; 0: tensor_parallel where it fits
  ExpertDispatch expert_dispatch = ExpertDispatch::kAllToAll;
  int zero_stage = 0;
  GradientSync gradient_sync = GradientSync::kOverlap;
  GradientReduction gradient_reduction = GradientReduction::kLastMicroBatch;
  Bytes bucket_size{25 << 20};
  bool states_bucket_size = false;  // else the framework's own first bucket
  // Blocking: computing stops while a rank sends, and the host waits for every message.
  PipelineMessages pipeline_messages = PipelineMessages::kOverlap;
  Offload offload;
  std::vector<std::string> rank_order{"tp", "cp", "ep", "dp", "pp"};  // innermost first

  bool operator==(const Plan&) const = default;
};

// What differs from kernel to kernel and from step to step, at random.
struct Variation {
  double kernel_jitter = 0;          // standard deviation of a kernel's time over its mean
  double straggler_probability = 0;  // that a GPU is slow throughout a step
  double straggler_slowdown = 1;     // its kernels then take this many times as long
  std::uint64_t seed = 1;

  bool any() const {
    return kernel_jitter > 0 || (straggler_probability > 0 && straggler_slowdown > 1);
  }
};

// Failures that end a run, which goes on from its last checkpoint.
struct Failures {
  Seconds mean_time_between{0};    // of one GPU, with its part of the node and the network
  Seconds checkpoint_time{0};      // in which training stands still
  Seconds checkpoint_interval{0};  // 0: the best
  Seconds restart_time{0};         // from a failure until training goes on
};

// A scenario with every default filled in. Model, cluster and runtime stay trees (resolved: names
// looked up, overrides merged) until `models`, `hardware` and `strategies` read them.
struct Scenario {
  std::string name;       // the file's stem, and the plan's name after a '/' when it has one
  std::string plan_name;  // of `plans:`, or empty
  Value model;
  Value cluster;
  Value runtime;  // the file's contents
  std::string runtime_name = "pytorch-eager";
  Task task = Task::kTraining;
  Training training;  // of inference: its precision, and the shape of its one pass
  Inference inference;
  std::optional<Serving> serving;
  Plan plan;
  Variation variation;
  std::optional<Failures> failures;
  Mark mark;  // of the scenario, for errors about combinations
  // Marks of `plan` and `training` keys by dotted name, so that later checks point at the line.
  std::vector<std::pair<std::string, Mark>> marks;
  Mark mark_of(const std::string& dotted) const;  // the scenario's mark when the key was not given
};

// What looks references up: resolve(), or something that remembers what it found.
using Resolver = std::function<Value(const std::string& kind, const Value& field)>;

// Reads a scenario tree. With `plans:` one Scenario for each plan, else one. `name` is the base
// name. Only what can be checked without the model and the cluster is checked here. Throws
// UserError with all mistakes. `overrides` are "dotted.key=value" texts of --set, applied to each
// plan.
std::vector<Scenario> read_scenarios(const Value& root, const std::string& name,
                                     const std::vector<std::string>& overrides = {},
                                     const Resolver& resolver = resolve);
// The trees that read_scenarios() reads: of every plan (by its name, which is empty without
// `plans:`) the whole scenario with the plan and the overrides laid over it.
std::vector<std::pair<std::string, Value>> plan_variants(const Value& root,
                                                         const std::vector<std::string>& overrides);
// Sets a dotted key of a scenario tree, as --set does: where `model`, `cluster`, `runtime` or
// `cluster.gpu` is a name, setting a key below it overrides that key of what is named.
void set_override(Value& root, const std::string& dotted, Value v);
// Splits "dotted.key=value" and parses the value as YAML; its marks are {"--set", 0, 0}.
std::pair<std::string, Value> parse_override(const std::string& text);

// read_scenarios() of a path, or of a name in configs/scenarios.
std::vector<Scenario> load_scenarios(const std::string& path_or_name,
                                     const std::vector<std::string>& overrides = {},
                                     const Resolver& resolver = resolve);

}  // namespace rehearse
