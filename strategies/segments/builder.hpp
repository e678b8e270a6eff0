#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "models/autograd.hpp"
#include "strategies/segments/fusion.hpp"
#include "strategies/segments/recompute.hpp"
#include "strategies/segments/segments.hpp"

namespace rehearse {

// Writes the instructions of one segment after the other, operator by operator, with the memory
// that PyTorch's reference counting would allocate and free.
class SegmentBuilder {
 public:
  SegmentBuilder(Program& program, const KernelContext& context, const OpGraph& graph,
                 const BackwardGraph& backward, GraphRole role, const SegmentOptions& options);

  enum class Part : std::uint8_t { kAll, kInputs, kWeights };

  // Runs operators [0, end) in forward and leaves alive what `keep` names (roots of tensors); what
  // `held` names dies with the last operator. In pieces, it is cut behind the logits.
  void forward(const std::set<TensorId>& keep, std::size_t end, Activity activity,
               const std::set<std::string>& held = {}, bool pieces = false);
  void backward(GradientStore store, Part part, bool pieces);

  // What backward needs of forward, and of forward under the chosen recomputation.
  std::set<TensorId> saved_roots() const;
  std::set<TensorId> kept_roots() const;
  // The same as what fills memory.
  std::vector<MemoryChange> kept() const;
  // One past the last operator that recomputation runs: it stops when all that backward needs
  // exists.
  std::size_t recompute_end() const;

  struct Piece {
    Segment segment;
    std::vector<TensorId> ready;
  };
  std::vector<Piece> take(const std::string& name);

 private:
  struct Gradient {
    MemoryScope scope{};
    std::int32_t slot = 0;
    Bytes bytes{0};
    int references = 0;
  };

  // Instructions.
  void emit(Instr i);
  void kernels(const std::vector<Kernel>& list, const Op& op, Seconds host);
  void collective(CollectiveOp op, Bytes bytes, const Op& at, GroupKind group = GroupKind::kTensor);
  // The next products or attention kernels run beside these, one each; none for a group of one.
  void beside(CollectiveOp op, Bytes bytes, GroupKind group);
  // Tensors that live and die together; nothing when there are none.
  void allocate(std::int32_t slot, const std::vector<Bytes>& pieces);
  void allocate(MemoryScope scope, std::int32_t slot, Bytes bytes, MemoryCategory category);
  std::string name_of(MemoryScope scope, std::int32_t slot) const;  // of what is there, for people
  void release(MemoryScope scope, std::int32_t slot);
  // What a slot holds that another segment of the same graph filled.
  MemoryChange filled_elsewhere(MemoryScope scope, std::int32_t slot) const;
  // Blocks of slots of a frame after those of the tensors.
  std::int32_t cast_slot(TensorId parameter) const {
    return static_cast<std::int32_t>(2 + graph_.tensors.size()) + parameter;
  }
  // What a layer keeps of a product that backward computes again in part.
  std::int32_t part_slot(TensorId t) const {
    return static_cast<std::int32_t>(2 + 3 * graph_.tensors.size()) + t;
  }
  std::int32_t deferred_slot(OpId op) const {
    return static_cast<std::int32_t>(2 + 2 * graph_.tensors.size()) + op;
  }
  void cut(std::vector<TensorId> ready);

  // Tensors.
  TensorId root(TensorId t) const;
  TensorId gradient_root(TensorId t) const;
  bool is_input_root(TensorId r) const { return r == root(graph_.input); }
  // Token ids and targets, which the data loader owns.
  bool is_data(TensorId t) const {
    return graph_.tensor(t).kind == TensorKind::kInput && !is_floating(graph_.tensor(t).dtype);
  }
  // An operator whose gradient needs no place of its own: it hands on the one it gets.
  bool hands_on(const Op& op) const;
  void release_root(TensorId r);
  std::int32_t slot(TensorId r) const;
  bool wants_gradient(TensorId t) const { return backward_.wanted[static_cast<std::size_t>(t)]; }
  bool trains(const Op& op) const { return rehearse::trains(graph_, op); }
  std::size_t index_of(const Op& op) const {
    return static_cast<std::size_t>(&op - graph_.ops.data());
  }
  bool runs_backward(const Op& op) const { return backward_.runs[index_of(op)]; }
  // A weight whose product backward needs, cast or not.
  bool saves_weight(const Op& op) const { return is_product(op.kind) && runs_backward(op); }
  // The part of an operator that backward computes again, and whether that is all of it.
  double again(const Op& op) const { return recomputed_share(options_.recompute, graph_, op); }
  bool recomputed(const Op& op) const { return again(op) == 1; }
  bool in_part(const Op& op) const { return again(op) > 0 && again(op) < 1; }
  Bytes kept_part(const Op& op) const;
  void keep_part(TensorId r);
  std::set<TensorId> kept_results() const;

  void forward_operator(const Op& op, const std::set<TensorId>& keep, const FusedRun* run);
  void forward_kernels_of(const Op& op);
  Bytes gathered(const Op& op, bool forward) const;  // of a gather's or a scatter's all_gather
  void forward_communication(const Op& op);
  void backward_communication(const Op& op);
  static bool is_expert_exchange(OpKind kind);
  void expert_exchange(const Op& op, bool forward);
  Bytes counts_bytes() const;
  std::vector<TensorId> gather_again(const Op& op, bool beside_kernel);
  bool overlaps(Part part) const;
  std::vector<GradOp> backward_order(Part part) const;
  void count_saved(Part part);
  void parameter_gradients(const Op& op, GradientStore store, Part part);
  void cast_parameters(const Op& op);
  // The product that comes next and reads what a cast makes; null: none.
  const Op* product_of_cast(const Op& op) const;
  void drop_frozen_casts(const Op& op);
  void input_gradients(const Op& op, GradKind of, bool alone);
  void backward_operator(const GradOp& step, GradientStore store, Part part);
  void backward_step(const GradOp& step, GradientStore store, Part part);
  void end_operator(OpId id, Part part);
  bool in_place(const Op& op) const;
  void backward_weights(GradientStore store);
  bool deferred(const Op& op) const;
  bool freed_by_inputs(const Op& op) const;
  void contribute(TensorId input, const Op& op, bool shared);
  void column_sums(const Op& op);
  void allocate_gradient(TensorId p);
  void compute_gradients(const Op& op, GradientStore store, bool product);
  void store_gradients();
  bool stores_later(const std::vector<GradOp>& steps, std::size_t i) const;
  void store_gradient(TensorId parameter, const Op& op, GradientStore store);
  bool tied(TensorId parameter) const;
  GradientStore store_of(const Op& op, GradientStore store) const;
  // Where a parameter's gradient is kept.
  MemoryScope gradient_scope(TensorId p) const {
    return tied(p) ? MemoryScope::kModel : MemoryScope::kRank;
  }
  std::int32_t gradient_slot(TensorId p) const { return tied(p) ? kTiedSlot : p; }
  void collect_views(TensorId out);
  void drop_gradient(TensorId r);
  void release_saved(std::size_t op);
  void recompute_before(std::size_t op);
  void rename_input_gradient();
  bool ends_loss(const std::vector<GradOp>& steps, std::size_t i) const;

  Program& program_;
  const KernelContext& context_;
  const OpGraph& graph_;
  const BackwardGraph& backward_;
  GraphRole role_;
  const SegmentOptions& options_;
  std::vector<Piece> pieces_{1};
  Seconds pending_host_{0};
  std::deque<CollectiveWork> beside_;
  std::set<TensorId> reduced_;  // gathered tensors whose gradient has been reduced beside a product
  Activity activity_ = Activity::kForward;
  std::set<std::size_t> cast_;  // operators whose parameters have been cast
  std::vector<TensorId> gathered_again_;
  // Gradients of an operator's parameters that have been computed and are still to be stored.
  struct Unstored {
    const Op* op = nullptr;
    GradientStore store{};
    std::int32_t slot = 0;  // of the first parameter's
    bool kept = false, fused = false, narrow = false;
  };
  std::optional<Unstored> unstored_;
  std::map<TensorId, int> saved_references_;
  std::map<TensorId, Gradient> gradients_;  // by gradient root
  std::map<std::pair<MemoryScope, std::int32_t>, MemoryChange> filled_;
  std::int32_t next_slot_ = 0;
  bool recompute_done_ = false;
};

}  // namespace rehearse
