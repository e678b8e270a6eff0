#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "models/model.hpp"
#include "sim/base/dtype.hpp"
#include "sim/base/quantity.hpp"
#include "sim/config/fine_tuning.hpp"

namespace rehearse {

using TensorId = std::int32_t;
using OpId = std::int32_t;
inline constexpr TensorId kNoTensor = -1;

// What a dimension means. Sharding divides dimensions by what they mean, not by position.
enum class Axis : std::uint8_t {
  kNone,  // never sharded (a statistic's last dimension, a scalar)
  kBatch,
  kSequence,
  kKeySequence,  // the keys' sequence in attention scores
  kHidden,
  kHeads,  // query heads
  kKvHeads,
  kHeadSize,
  kQkv,  // (heads + 2 kv_heads) * head_size, the fused projection
  kIntermediate,
  kGateUp,  // 2 * intermediate, the fused gate and up projection
  kVocabulary,
  kRows,    // rows of tokens, one for each expert that a token goes to
  kExperts  // a rank's experts, in the weight of a grouped product
};

struct Dim {
  Axis axis = Axis::kNone;
  std::int64_t size = 1;
};

enum class TensorKind : std::uint8_t {
  kInput,  // comes from outside the graph (token ids, targets, the previous block's output)
  kActivation,
  kStatistic,  // made by forward for backward alone: rstd, mean, log-sum-exp, dropout mask
  kParameter
};

struct Tensor {
  std::string name;
  std::vector<Dim> dims;
  DType dtype = DType::kBf16;
  TensorKind kind = TensorKind::kActivation;
  TensorId view_of = kNoTensor;  // shares that tensor's storage: allocating it costs nothing, and
                                 // keeping it keeps the whole storage
  bool expert = false;           // a parameter of a routed expert
  bool trainable = true;         // of a parameter: it gets a gradient and is updated
  std::int64_t elements() const;
  Bytes bytes() const { return Bytes(elements() * size_of(dtype).value); }
};

// The grain of a PyTorch operator.
enum class OpKind : std::uint8_t {
  kEmbedding,          // token ids -> [s, b, h]
  kPositionEmbedding,  // learned positions looked up and added: x -> x + P
  kLayerNorm,
  kRmsNorm,
  kLinear,     // out = x W^T (+ bias): parameters {weight[, bias]}, weight [out, in]
  kRotary,     // (q, k) -> (q', k')
  kAttention,  // flash: (q, k, v) -> o, statistic log-sum-exp
  kScores,     // unfused: q k^T -> [b, heads, s, s]
  kSoftmax,    // scaled and masked softmax over keys
  kContext,    // probabilities v -> o
  // PyTorch's scaled_dot_product_attention where no fused kernel takes the inputs:
  kScale,        // x -> c x
  kRepeatHeads,  // keys or values of the groups -> of all heads
  kSafeSoftmax,  // adds the mask, softmax; rows that are masked throughout become zero
  kReorder,      // a copy with the dimensions in another order; its gradient is a view
  kDropout,      // statistic: the mask, one byte an element
  kGelu,
  kSwiGlu,        // [.., 2f] -> silu(gate) * up [.., f]
  kAdd,           // residual
  kCast,          // to another dtype
  kCrossEntropy,  // (fp32 logits, targets) -> loss; statistic: log-probabilities, fp32
  kGather,        // sharding's: forward all-gather (sequence) or nothing; see strategies/tensor
  kScatter,       // sharding's: forward reduce-scatter or all-reduce
  // Context parallelism's: see strategies/context.
  kSequenceToHeads,  // all-to-all: a part of the sequence, all heads -> all of it, a part of the
                     // heads
  kHeadsToSequence,  // the way back
  kGatherKeys,  // forward all-gathers keys or values along the sequence, backward reduce-scatters
  // Low-rank attention and adapters.
  kConcatenate,  // parts of heads side by side
  kHeadLinear,   // a product of each head with weights of its own: weight [heads, out, in]
  // Experts: see graphs/experts.cpp.
  kRoute,          // fp32 logits -> each token's weights of its experts; statistics: probabilities,
                   // indices and what sorts rows by expert
  kPermute,        // a row of x for each expert that a token goes to, by expert
  kCounts,         // rows of each expert are told to the other ranks and to the host; no data
  kDispatch,       // all-to-all: rows to the ranks of their experts
  kReturn,         // and back
  kGatherTokens,   // all-gather: every rank gets all tokens
  kScatterTokens,  // reduce-scatter: every rank gets the sum of its tokens
  kArrange,        // rows by sender -> rows by expert; one output an expert, or one
  kGroupedLinear,  // one product an expert, in one go: weight [experts, out, in]
  kJoin,           // the experts' results, one behind the other, by sender
  kCombine,        // (rows, weights) -> each token's sum; statistics: weights in order, indices
  // Inference's: see strategies/inference.
  kCacheUpdate,  // (k, v, their cache) -> the cache with the new keys and values in it
  kArgMax        // logits -> token ids
};
std::string_view to_string(OpKind kind);  // "embedding", "layer_norm", "linear", ...
// A product with weights, whose backward is two products.
constexpr bool is_product(OpKind kind) {
  return kind == OpKind::kLinear || kind == OpKind::kGroupedLinear || kind == OpKind::kHeadLinear;
}

struct Op {
  OpKind kind{};
  std::string name;  // "qkv", "attention", "proj", "up", "down", "norm1", ..., unique in its graph
  std::vector<TensorId> inputs;
  std::vector<TensorId> parameters;
  std::vector<TensorId> outputs;  // the result first, statistics after it
  bool dropout = false;           // attention: drops probabilities inside its kernel
  int ring = 1;   // attention: ranks around which keys and values travel (ring attention)
  int parts = 1;  // arrange, join: expert-parallel ranks that rows come from
  std::vector<std::int64_t> groups{};  // grouped linear: rows of each expert
  double unseen = 0;  // product: the share of its calls whose number of rows is new to the process
  // What the code around it keeps alive until it is done.
  std::vector<TensorId> holds{};
};

// How the operators lay out their tensors, which passes may rely on:
// - a linear reads [sequence, batch, features...] and makes [sequence, batch, out]; its weight has
//   two dimensions {out, in}, where `in` has the axis of the first feature dimension and the size
//   of all of them (proj: {kHeads, heads * head_size});
// - q, k and v are [sequence, batch, (kv) heads, head size] views of qkv_out, made by no operator;
// - an activation is named after its operator, "<op>_out", but for q, k, v, q_rot, k_rot, silu,
//   logits, logits_fp32, log_probabilities and loss; a statistic is "<op>.rstd", ".mean", ".lse",
//   ".mask"; a parameter "<op>.weight", "<op>.bias".
//
// Operators in execution order; every tensor is made by at most one operator. A plain value that
// passes copy and edit. Boost.Graph is used inside `models` to order and check it.
struct OpGraph {
  std::string name;  // "embedding", "block", "head"
  std::vector<Tensor> tensors;
  std::vector<Op> ops;
  TensorId input = kNoTensor;   // activation from the previous graph (token ids in the embedding)
  TensorId output = kNoTensor;  // activation to the next graph (the loss in the head)

  const Tensor& tensor(TensorId t) const { return tensors[static_cast<std::size_t>(t)]; }
  std::int64_t parameter_count() const;
};

// kUnfused writes the scores to memory; kMath does so as PyTorch's scaled_dot_product_attention
// does without a fused kernel (_scaled_dot_product_attention_math): it scales queries and keys,
// repeats the keys and values of groups, and guards its softmax. kRepeated is kFlash behind keys
// and values that the model's own code has repeated for all heads.
enum class AttentionMethod : std::uint8_t { kFlash, kRepeated, kUnfused, kMath };

// How latent attention meets its latents. kTraining keeps none of them for later. Inference caches
// a token's latent beside the rotated part of its key, and either expands what is cached to keys
// and values of every head, or lets the heads' products with it be absorbed: queries and results go
// through them instead, and all heads attend to the latents as one key-value head.
enum class LatentForm : std::uint8_t { kTraining, kExpanded, kAbsorbed };

// What expert parallelism leaves to one rank, which a plan fixes (see strategies/expert).
struct ExpertLayout {
  int ranks = 1;                   // that share the experts
  std::vector<std::int64_t> rows;  // of each expert of this rank; empty: all experts, even load
  bool grouped = false;            // one grouped product over all, else expert by expert
  double unseen = 0;               // Op::unseen of products expert by expert
  bool gathers_tokens = false;     // all-gather and reduce-scatter, not all-to-all
  bool cut = false;                // each expert is cut over the tensor-parallel ranks
};

// Shapes and types that a model does not fix. Activations are [sequence, batch, ...].
struct GraphOptions {
  std::int64_t batch = 1;
  std::int64_t sequence = 0;
  DType compute = DType::kBf16;
  DType parameters = DType::kBf16;
  AttentionMethod attention = AttentionMethod::kFlash;
  LatentForm latent = LatentForm::kTraining;
  bool reorders_attention = false;  // the result of kFlash is copied for what reads it
  double dropout = 0;  // > 0: dropout after attention's softmax, proj and down, and the embedding
  bool causal = true;
  // torch.autocast's rules: embeddings and norms give fp32, so the residual stream is fp32, and a
  // linear casts what it reads to `compute` (an op "<linear>_cast"). Without it every activation
  // has `compute`.
  bool autocast = false;
  ExpertLayout experts;
  FineTuning fine_tuning;  // what it adds to the graphs, and what it freezes
};

// A model as graphs: of the embedding, of each kind of layer, and of the head.
struct ModelGraphs {
  Model model;
  GraphOptions options;
  OpGraph embedding;
  OpGraph block;                    // the layer that most are
  std::vector<OpGraph> variants;    // other kinds of layers (DeepSeek's first are dense; frozen)
  std::vector<int> layer_variants;  // of each layer, an index of `variants` or -1; empty: all -1
  OpGraph head;  // final norm, head projection, cast to fp32, loss. A tied head has its weight
                 // tensor too, named "token_embedding.weight" as in the embedding.
};
ModelGraphs build_graphs(const Model& model, const GraphOptions& options);
// The graph of a layer.
const OpGraph& layer_graph(const ModelGraphs& graphs, std::int64_t layer);

bool trains(const OpGraph& graph, const Op& op);  // whether parameters of the operator do
// The first graph with a parameter that trains: 0 the embedding, 1 to L the layers, L + 1 the head.
// Graphs before it have no backward, and its own input has no gradient.
std::int64_t first_trainable(const ModelGraphs& graphs);

// Multiply-adds count two. Matrix products and attention only; the rest counts 0 by the field's
// convention. `causal` halves attention's scores and context, as kernels skip the upper triangle.
Flops forward_flops(const OpGraph& graph, const Op& op, bool causal);

// Closed-form convention of MFU: 6 N + 12 l h s FLOPs a token (N the parameters that a token meets,
// not causal).
//
// Fine-tuning: 2 N for forward, 2 N and the further 8 l h s of attention for gradients of inputs,
// down to the first layer that trains, and 2 N of what trains; so LoRA takes about 4 N.
Flops model_flops_per_token(const Model& model, std::int64_t sequence, bool causal,
                            const FineTuning& fine_tuning = {});

// Throws std::logic_error (a bug) when an operator uses a tensor before it is made, a tensor is
// made twice, ids are out of range, or operators are not connected.
void check_graph(const OpGraph& graph);

}  // namespace rehearse
