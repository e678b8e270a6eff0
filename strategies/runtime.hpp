#pragma once

#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "models/op_graph.hpp"
#include "sim/base/quantity.hpp"
#include "sim/config/value.hpp"

namespace rehearse {

// A framework as data (configs/runtimes/*.yaml): which kernels an operator becomes, what issuing
// them costs the host, and how the framework keeps its states. A file may build on another:
// `base: pytorch-eager` (see catalog.hpp).

// Traffic of a kernel in multiples of the operator's tensors (bytes).
struct Traffic {
  double input = 0;       // first input (each input in turn under `each: input`)
  double inputs = 0;      // all inputs together
  double output = 0;      // first output
  double parameters = 0;  // all parameters of the operator, as they are stored
};

struct KernelTemplate {
  std::string name;          // as the framework's profiler shows it
  std::string kernel_class;  // of the GPU file's table
  Traffic read, write;
  enum class Each : std::uint8_t { kOnce, kInput, kOutput };
  Each each = Each::kOnce;           // kInput: once for every input (rotary: q and k)
  int count = 1;                     // so many times (passes of a sort)
  bool synchronizes = false;         // the host waits for its result
  Seconds host{0};                   // of issuing it, where it is not part of the operator's
  std::int64_t least_tokens = 0;     // runs only in passes of so many tokens, or more
  std::int64_t least_sequences = 0;  // and of so many sequences
  // Runs only where the number of score matrices (sequences times heads) is, or is not, a multiple.
  std::int64_t matrices_by = 0, matrices_not_by = 0;
  std::int64_t columns_per_block = 0;  // a reduction over rows with a block so many columns wide
  bool of_parameters = false;          // in backward: makes gradients of parameters, not of inputs
  bool before_gather = false;          // casts the rank's own part where that is gathered in fp8
};

struct PassTemplate {
  Seconds host{0};  // the operator's own cost; every kernel adds Runtime::host_per_kernel
  // And what one of its products takes more when its shape is new to the process: the matrix
  // library chooses a kernel for it then.
  Seconds host_unseen{0};
  std::vector<KernelTemplate> kernels;
  Traffic temporary;  // memory that lives only while it runs
  // PyTorch's sum over rows runs, and has its buffers besides (segments/column_sums.hpp).
  bool sums_rows = false;

  Seconds host_of(const Op& op) const { return host + op.unseen * host_unseen; }
};

struct OperatorTemplate {
  PassTemplate forward, backward;
};

// A kernel of fused attention and what it takes. The first of a runtime's list that takes the
// inputs runs; where none does, attention is computed step by step (AttentionMethod::kMath).
struct FusedAttention {
  std::string name;  // of the kernels, as the profiler shows them
  std::vector<DType> dtypes;
  bool grouped = true;              // queries in groups that share keys and values
  std::int64_t head_size_most = 0;  // 0: any
  // Its result is [batch, sequence, ...] in memory, which the product after it reads as a copy.
  bool batch_first = false;
  bool takes(DType dtype, bool in_groups, std::int64_t head_size) const;
};

struct Runtime {
  std::string name;
  std::map<std::string, OperatorTemplate> operators;  // by to_string(OpKind)
  // Work on parameters and gradients.
  PassTemplate bias_gradient;        // per biased linear
  PassTemplate accumulate_gradient;  // per parameter, second and later micro-batches
  PassTemplate accumulate_wider;     // where the accumulated gradient has a wider type
  PassTemplate cast_parameter;       // autocast: at each use in forward
  PassTemplate cast_gradient;        // autocast: in backward
  PassTemplate kept_gradient;        // of an output, for the second part of a backward in two
  PassTemplate accumulate_residual;  // two gradients of one activation are added
  OperatorTemplate mixed_add;        // a residual addition of fp32 and a narrower type (autocast)
  // Around the update. `input`: gradients, `output`: parameters as they are computed with,
  // `parameters`: what the update writes (master weights where there are any).
  PassTemplate before_optimizer, after_optimizer;
  PassTemplate gather_parameters;  // `parameters`: all, as they are computed with
  OperatorTemplate ring_hop;       // of ring attention, for every hop but the first
  // Of a product in fp8, with its input, output and parameters as in other templates: what finds
  // scales and casts operands. Backward runs before the input's gradient, once.
  OperatorTemplate quantize;
  Seconds host_per_kernel{0};
  Seconds host_per_module{0};  // each forward and backward of a graph
  Seconds host_optimizer{0};   // per step
  Seconds host_optimizer_per_tensor{0};
  // Of the host's memory, in an update of offloaded states by all its processors; 0: not known.
  BytesPerSecond host_update_bandwidth{0};
  Seconds host_per_collective{0};
  // What checking one costs, and for each rank of its group beyond the first, where
  // `checks_collectives`: torch.distributed in debug mode DETAIL compares shapes by gloo before.
  // Between nodes each round of it takes a `Host::round_trip` in place of a `loopback_round_trip`.
  Seconds host_per_check{0}, host_per_checked_rank{0};
  Seconds loopback_round_trip{0};  // which those two hold
  bool checks_collectives = false;
  // A pipeline's message takes its time of the sender's host and of the receiver's, once a tensor:
  // beside activations `forward_tensors` - 1 small ones go to the next stage. Where
  // `polls_messages`, both hosts also sleep until they look again whether it is through.
  Seconds host_per_message{0}, host_per_polled_message{0};
  int forward_tensors = 1;
  bool polls_messages = false;
  Seconds host_per_unshard{0};     // FSDP: hooks around one gather
  Seconds host_per_reduce{0};      // and around one reduction
  Seconds host_per_checkpoint{0};  // a recomputed block in forward
  Seconds host_per_recompute{0};   // and in backward, beside its forward again
  Seconds host_per_stage_call{0};  // a pipeline's forward, backward or part of it, of a chunk
  // Where `waits_for_batch`, every forward of a chunk first gets its micro-batch's tokens, until
  // their size is read back from the GPU, and from there on.
  Seconds host_per_batch{0}, host_per_batch_size{0};
  bool waits_for_batch = false;
  Seconds host_per_split_inputs{0};         // a graph's backward in two parts: the first
  Seconds host_per_split_weights{0};        // the second,
  Seconds host_per_split_weights_below{0};  // and once more for every graph before it in its chunk
  std::map<std::string, std::string> optimizer_class;  // "adamw" -> kernel class
  bool fused_gradient_accumulation = false;            // wgrad adds into main gradients (Megatron)
  bool persistent_gradients = false;                   // gradient buffers live across steps
  bool whole_parameter_shards = false;                 // ZeRO 1 gives whole parameters to owners
  // ZeRO 1 all-reduces whole gradients, of which every rank takes the norm and clips all, and each
  // updates its part of every parameter. Gathered parts are copied one by one (gather_parameters;
  // its host time is of one part).
  bool reduces_whole_gradients = false;
  // A pipeline's messages are kernels of one stream, in order (pipeline_steps.hpp); a receiver has
  // `message_slots` buffers that hold `message_slot` of a message each, which is how far a sender
  // can be ahead. What is received is received into tensors that last, one a micro-batch.
  bool orders_messages = false;
  int message_slots = 0;
  Bytes message_slot{0};
  // Backward in two parts by autograd (stage_backward_input, stage_backward_weight): the graph is
  // kept for the second part, so that what forward saved lives until then; every operator's
  // parameters are in it, not only those of products; and the first stage, whose input needs no
  // gradient, leaves everything to it.
  bool splits_backward_by_autograd = false;
  bool scales_gradients = false;    // a pipeline divides gradients by its micro-batches
  bool keeps_logits = false;        // a pipeline's last stage returns all logits
  bool frees_sent_outputs = false;  // a stage's output, once sent (else kept for its backward)
  bool fused_activation = false;    // SwiGLU keeps its input alone
  bool fused_residual_gradients = false;  // a norm's backward adds the residual's gradient
  // FlashAttention 1 (flash-attn 1.x, Triton's) or 2 (flash-attn 2.x, PyTorch until its use of
  // cuDNN); 0: what the GPU's files measure.
  int flash_attention = 0;
  bool repeats_heads = false;  // of grouped keys and values, before attention
  bool loss_in_place = false;  // the loss turns its logits into their own gradient
  // The loss reads the logits as the head gives them, casts inside its kernels, and keeps them
  // alone.
  bool fused_loss = false;
  // Under sequence parallelism a product keeps its part of the sequence and gathers the rest again
  // in backward, and so does attention with gathered keys (Korthikanti et al. 2022, section 4.2.2).
  bool regathers_sequence = false;
  // Products in fp8 gather a sequence that is fp8 already, and so do their output's gradients.
  bool gathers_fp8 = false;
  // Backward of a product beside communication: its input is gathered again during dgrad, the
  // input's gradient is reduced during wgrad (Megatron's LinearWithGradAccumulation).
  bool overlaps_tensor_communication = false;
  // Rows are added to the vocabulary up to a multiple of this times tensor_parallel; 1: none.
  std::int64_t vocabulary_multiple = 1;
  bool recomputes_whole_block = false;  // else recomputation stops at the last tensor needed
  // At the end of a step: a tied embedding's gradient between the first and the last stage; norms'
  // and biases' gradients over the tensor-parallel ranks under sequence parallelism.
  bool reduces_shared_gradients = false;
  // Without sequence parallelism every tensor-parallel rank holds the whole activation: each sends
  // its part and the receivers gather (Narayanan et al. 2021, section 4.1).
  bool scatters_messages = false;
  bool scales_buckets = false;           // a bucket is divided by the ranks before its reduction
  bool waits_for_gradient_norm = false;  // the host reads the norm before the update
  // Runs of consecutive operators of these kinds are one kernel in forward.
  std::set<OpKind> fused_operators;
  bool makes_shares = false;  // models are built on the meta device: FSDP makes shares alone
  Bytes allocation_granularity{1};
  bool expandable_segments = false;  // PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
  Bytes workspace{0};
  Bytes first_bucket{0};          // DDP's first bucket; 0: as large as the others
  bool copies_gradients = false;  // gradients are computed apart and copied into their buckets
  bool exchanges_counts = false;  // ranks tell each other the rows of their experts, for the host
  bool groups_experts = false;    // experts run as one grouped product, not one after another

  std::vector<FusedAttention> attention;
  // The fused kernel for queries, keys and values of `dtype`; null: none takes them.
  const FusedAttention* fused_attention(DType dtype, bool in_groups, std::int64_t head_size) const;

  // Activations that a program's local names keep to the end of its graph, in inference, where no
  // autograd keeps others.
  std::set<std::string> held_tensors;

  // What differs inside a block (compiled blocks in an eager program): none or one.
  std::vector<Runtime> blocks;
  // The framework without autograd: none (it is not known) or one.
  std::vector<Runtime> inference;

  const Runtime& in_blocks() const { return blocks.empty() ? *this : blocks.front(); }
  const OperatorTemplate& of(OpKind kind) const;
  // What issuing one collective of so many ranks costs.
  Seconds collective_host(int ranks) const {
    return host_per_collective +
           (checks_collectives ? host_per_check + host_per_checked_rank * (ranks - 1) : Seconds(0));
  }
  // What checking one waits for messages between nodes: for each rank on another node than the
  // first once, at the barrier, and in every round of the two gathers, where a node's last rank
  // waits for the word of the next one's first before it sends.
  Seconds check_wait(int ranks, int ranks_elsewhere, Seconds round_trip) const {
    if (!checks_collectives || ranks_elsewhere == 0 || round_trip <= loopback_round_trip)
      return Seconds(0);
    return (round_trip - loopback_round_trip) * (ranks_elsewhere + 2 * (ranks - 1));
  }
  // What a message costs the host at either end.
  Seconds message_host(int tensors) const {
    return (host_per_message + (polls_messages ? host_per_polled_message : Seconds(0))) * tensors;
  }
  // What the allocator takes for a request.
  Bytes allocated(Bytes requested) const;
};

// `blocks:` and `inference:` overlay the file, deeply.
Runtime read_runtime(const Value& tree);
// No host and no fixed cost.
Runtime idealised(const Runtime& runtime);

}  // namespace rehearse
