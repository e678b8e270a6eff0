#pragma once

#include <map>
#include <vector>

#include "models/autograd.hpp"
#include "models/op_graph.hpp"
#include "strategies/program.hpp"
#include "strategies/segments/kernels.hpp"

namespace rehearse {

// Where the graph of one pass stands, and who owns what crosses its border.
//
// Slots of a frame: 0 the graph's output, 1 the gradient of its input, 2 + t tensor t, and further
// blocks for gradients and casts. The input is slot 0 of the frame before; the gradient of the
// output is slot 1 of the frame after. Parameter gradients are kRank slots, one a parameter; that
// of a weight which embedding and head share is kModel's kTiedSlot.
struct GraphRole {
  bool first = false;          // input is token ids: no gradient, nothing to free
  bool last = false;           // output is the loss: its gradient is the start of backward
  bool input_gradient = true;  // something before it trains
};

inline constexpr std::int32_t kTiedSlot = 0;

// How gradients of parameters are kept.
enum class GradientStore : std::uint8_t {
  kFresh,             // the product's result becomes the gradient (first micro-batch)
  kAccumulate,        // added to what is there (later micro-batches), or into a persistent buffer
  kCopyOut,           // computed into a temporary and copied into a persistent bucket (DDP)
  kAccumulateCopyOut  // added to earlier micro-batches', which then move into the bucket
};

struct SegmentOptions {
  bool autocast = false;
  Recompute recompute = Recompute::kNone;
  bool sequence_parallel = false;
  bool vocabulary_parallel = false;
  int tensor_ranks = 1;
  int context_ranks = 1;
  int expert_ranks = 1;
  bool keep_logits = false;       // the pipeline returns them at the end of the step
  bool tied = false;              // embedding and head are on this rank and share their weight
  DType gradient = DType::kBf16;  // of stored parameter gradients
};

// Backward in pieces: after piece i the gradients of `ready` (parameter tensors, in order) exist.
struct BackwardPiece {
  SegmentId segment = 0;
  std::vector<TensorId> ready;
};

// Turns one graph into segments, remembering what it made (a segment is asked for once a layer).
class SegmentMaker {
 public:
  SegmentMaker(Program& program, const KernelContext& context, const OpGraph& graph, GraphRole role,
               const SegmentOptions& options);

  // Under full recomputation the forward keeps its input alone, and backward runs it again first;
  // under that of operators it keeps some results besides, and backward the rest.
  SegmentId forward();
  // The same in two where there is a loss: what the model does, and what comes after it has
  // returned.
  const std::vector<SegmentId>& forward_pieces();
  // Forward without autograd: activations live until their last use, or to the end where the
  // program holds them (Runtime::held_tensors).
  SegmentId inference();
  // One segment for the whole backward.
  SegmentId backward(GradientStore store);
  const std::vector<BackwardPiece>& backward_pieces(GradientStore store);
  // Zero-bubble schedules: gradients of activations, then, later, of parameters. What the second
  // reads (inputs of products and gradients of outputs) stays allocated in between.
  SegmentId backward_inputs(GradientStore store);
  SegmentId backward_weights(GradientStore store);

  const OpGraph& graph() const { return graph_; }
  // Whether backward comes to it; without, there are no segments of a backward.
  bool has_backward() const { return !backward_.ops.empty(); }
  // Stored size of a parameter's gradient, and whether it is the one that embedding and head share.
  Bytes gradient_bytes(TensorId parameter) const;
  bool tied(TensorId parameter) const;
  // What forward leaves for backward, but for casts of parameters: of this frame and the one
  // before.
  std::vector<MemoryChange> kept();
  // Casts of parameters that forward leaves although backward makes its own: torch.autocast keeps
  // them until its region, the whole forward pass, ends.
  struct Cast {
    std::int32_t slot = 0;
    Bytes bytes{0};
  };
  std::vector<Cast> casts_left() const;
  // The tensor kept by `keep_logits` and its slot in the frame.
  TensorId logits() const;
  std::int32_t logits_slot() const { return 2 + logits(); }

 private:
  bool recomputes() const {
    const bool whole =
        options_.recompute == Recompute::kFull || options_.recompute == Recompute::kOperators;
    return whole && !role_.first && !role_.last && has_backward();
  }
  SegmentId remembered(const std::string& name);
  SegmentId remember(const std::string& name, Segment segment);

  Program& program_;
  KernelContext context_;
  OpGraph graph_;
  BackwardGraph backward_;
  GraphRole role_;
  SegmentOptions options_;
  std::vector<std::pair<std::string, SegmentId>> made_;
  std::map<GradientStore, std::vector<BackwardPiece>> pieces_;
  std::vector<SegmentId> forward_pieces_;
};

}  // namespace rehearse
