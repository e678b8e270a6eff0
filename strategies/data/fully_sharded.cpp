#include <algorithm>
#include <map>

#include "strategies/data/data_parallel.hpp"

namespace rehearse {
namespace {

// Slots of memory of a unit, outside those of its parameters' gradients.
enum Slot : std::int32_t {
  kGathered = 1 << 20,
  kCastShare,
  kUnsharded,
  kReduceInput,
  kShard,
  kHostShare,
  kAccumulated,
  kReduceOutput
};

// Parameters, gradients and optimizer states in even shares (ZeRO 3: Rajbhandari et al. 2020; as
// PyTorch's FSDP2 runs it). Units are the blocks, and the root with everything else.
//
// Before a unit is used its shares are copied in and gathered on the data stream, then copied out
// on the compute stream; the next gather may start once the one before has been copied out, so that
// one unit is computed while the next is gathered. In backward the host issues the next gather
// before it runs a unit. After a unit's last backward its gradients are copied into one buffer and
// reduce-scattered; the next unit's copy waits for it. ZeRO 2 keeps what it gathered from forward
// to backward, and, where it reduces after every micro-batch, to the last one's.
class FullySharded final : public DataParallel {
 public:
  explicit FullySharded(const DataContext& c) : c_(c) {
    for (const Unit& u : c_.units)
      for (const Parameter& p : u.parameters) {
        groups_[group_of(u)].add(p);
        if (p.trainable) trained_[group_of(u)].add(p);
      }
  }

  void begin_step(StepWriter&) override { now_ = {}; }

  State state() const override {
    State out{now_.copied_out, now_.reduced, now_.pending_input, now_.copied_group, now_.sent};
    for (const auto& [g, copied_out] : now_.gathered) out.insert(out.end(), {g, copied_out});
    return out;
  }
  void restore(const State& s) override {
    const auto at = [&](std::size_t i) { return static_cast<int>(s[i]); };
    now_ = {{}, s[0] != 0, s[1] != 0, at(2), at(3), at(4)};
    for (std::size_t i = 5; i < s.size(); i += 2) now_.gathered[at(i)] = s[i + 1] != 0;
  }

  // What is gathered is what the optimizer has written: a forward pass of the root lets the streams
  // of gathers wait for all that was issued before.
  void before_forward(StepWriter& w, const Unit& u) override {
    const auto i = static_cast<std::size_t>(&u - c_.units.data());
    if (i == 0 || c_.units[i - 1].chunk != u.chunk) {
      w.order(StreamKind::kCompute, StreamKind::kCopy);
      w.order(StreamKind::kCompute, StreamKind::kData);
    }
    use(w, u, true);
  }

  // The model has returned before the loss.
  void forward(StepWriter& w, const Unit& u) override {
    if (!has_loss(u)) return DataParallel::forward(w, u);
    for (const SegmentId s : u.segments->forward_pieces()) {
      w.segment(s, u.position);
      after_forward(w, u);
    }
  }

  void after_forward(StepWriter& w, const Unit& u) override {
    if (c_.plan.plan.zero_stage == 3 && !is_edge(u)) reshard(w, group_of(u));
    if (c_.plan.plan.zero_stage == 3 && last_of_root(u)) reshard(w, group_of(u));
    if (last_of_root(u) || u.position == c_.units.back().position) release_copied(w);
  }

  // The loss comes before the hooks of the model that has the head: see backward(). Where backward
  // does not come there are no hooks.
  void before_backward(StepWriter& w, const Unit& u) override {
    if (!has_loss(u) && u.segments->has_backward()) enter(w, u);
  }

  void enter(StepWriter& w, const Unit& u) {
    use(w, u, false);
    // Prefetch the unit that backward needs next.
    const auto i = static_cast<std::size_t>(&u - c_.units.data());
    if (i > 0 && c_.units[i - 1].chunk == u.chunk && c_.units[i - 1].segments->has_backward())
      gather(w, group_of(c_.units[i - 1]));
  }

  void backward(StepWriter& w, const Unit& u, BackwardPart part, bool first, bool last) override {
    const bool fresh = first || accumulates_wide() || reduces_each();
    const GradientStore store = fresh ? GradientStore::kFresh : GradientStore::kAccumulate;
    if (has_loss(u) && part == BackwardPart::kAll) {
      const auto& pieces = u.segments->backward_pieces(store);
      w.segment(pieces.front().segment, u.position);
      enter(w, u);
      for (std::size_t i = 1; i < pieces.size(); ++i) w.segment(pieces[i].segment, u.position);
    } else {
      if (has_loss(u) && part == BackwardPart::kInputs) enter(w, u);
      run_backward(w, u, part, store);
    }
    if (part == BackwardPart::kInputs) return;
    const int g = group_of(u);
    const bool done = !is_edge(u) || first_of_root(u);
    if (!done) return;
    if (last || !keeps_parameters()) reshard(w, g);
    if (!trained_.contains(g)) return;
    if (last || reduces_each())
      reduce(w, u, first, last);
    else if (accumulates_wide())
      accumulate(w, u, first);
  }

  void finish_backward(StepWriter& w) override {
    if (now_.reduced) w.wait(StreamKind::kCompute, reduced_);
    if (now_.pending_input >= 0) w.release(MemoryScope::kRank, now_.pending_input, kReduceInput);
    now_.pending_input = -1;
    free_sent(w);
  }

  void after_optimizer(StepWriter& w) override {
    w.at(0, 0);
    for (const auto& [g, n] : trained_) w.release(MemoryScope::kRank, g, kShard);
  }

  // In ZeRO 3 blocks are gathered for forward and again for backward. In ZeRO 2 they are there
  // until backward, and with a pipeline several micro-batches may find them.
  std::vector<CollectiveWork> every_micro_batch() const override {
    std::vector<CollectiveWork> out;
    for (const Unit& u : c_.units) {
      if (is_edge(u) && !first_of_root(u)) continue;
      int times = 1;
      if (c_.plan.plan.zero_stage == 3)
        times += !is_edge(u) && u.segments->has_backward();
      else if (c_.plan.pipeline > 1 || keeps_parameters() || !u.segments->has_backward())
        times = 0;
      const Elements whole = c_.padded(groups_.at(group_of(u)));
      for (const bool expert : {false, true}) {
        const Bytes bytes(whole.of(expert) * size_of(gathered_type()).value);
        if (bytes.value == 0 || c_.replicas_of(expert) == 1) continue;
        for (int i = 0; i < times; ++i)
          out.push_back({CollectiveOp::kAllGather, DataContext::group(expert), bytes});
      }
    }
    return out;
  }

  std::int64_t updated_elements() const override { return c_.share(c_.trainable()).all(); }
  std::int64_t updated_tensors() const override { return c_.trainable_tensors(); }
  // The whole model is built first, unless that is on the meta device; then each parameter is
  // replaced by this rank's share of it, block by block, the root's own last. What the host keeps
  // is built there.
  void set_up(Setup& setup) const override {
    if (c_.plan.plan.offload.parameters) return;
    const std::int64_t size = size_of(c_.precision().parameters).value;
    const bool built = !c_.runtime.makes_shares;
    std::vector<std::pair<const Unit*, std::vector<std::uint32_t>>> whole;
    for (const Unit& u : c_.units) {
      whole.push_back({&u, {}});
      for (const Parameter& p : u.parameters)
        whole.back().second.push_back(built ? setup.allocate(Bytes(p.elements * size)) : 0);
    }
    std::stable_partition(whole.begin(), whole.end(),
                          [&](const auto& w) { return !is_edge(*w.first); });
    for (const auto& [u, ids] : whole)
      for (std::size_t i = 0; i < ids.size(); ++i) {
        setup.allocate(Bytes(share_of(u->parameters[i]) * size));
        if (built) setup.release(ids[i]);
      }
    std::vector<std::int64_t> shares;
    for (const Unit& u : c_.units)
      for (const Parameter& p : u.parameters)
        if (p.trainable) shares.push_back(share_of(p));
    set_up_states(setup, c_, shares);
  }

  Bytes parameter_bytes() const override {
    if (c_.plan.plan.offload.parameters) return Bytes(0);
    return Bytes(c_.share(c_.elements()).all() * size_of(c_.precision().parameters).value);
  }

 private:
  std::int64_t share_of(const Parameter& p) const {
    const std::int64_t n = c_.replicas_of(p.expert);
    return (p.elements + n - 1) / n;
  }
  static bool has_loss(const Unit& u) { return u.segments->graph().name == "head"; }
  // The embedding and the head (with the final norm) are the root's own.
  bool is_edge(const Unit& u) const {
    const std::string& name = u.segments->graph().name;
    return name == "embedding" || name == "head";
  }
  bool first_of_root(const Unit& u) const {
    for (const Unit& v : c_.units)
      if (is_edge(v)) return &v == &u;
    return false;
  }
  bool last_of_root(const Unit& u) const {
    const Unit* last = nullptr;
    for (const Unit& v : c_.units)
      if (is_edge(v)) last = &v;
    return last == &u;
  }
  // Memory and gathers are kept by the position of the group's first unit.
  int group_of(const Unit& u) const {
    if (!is_edge(u)) return u.position;
    for (const Unit& v : c_.units)
      if (is_edge(v)) return v.position;
    return u.position;
  }
  DType gathered_type() const {
    return c_.precision().sharded_fp32 ? c_.precision().compute : c_.precision().parameters;
  }
  Bytes gathered_bytes(int g) const {
    return Bytes(c_.padded(groups_.at(g)).all() * size_of(gathered_type()).value);
  }
  bool reduces_each() const {
    return c_.plan.plan.gradient_reduction == GradientReduction::kEveryMicroBatch;
  }
  // ZeRO 2 after every micro-batch is the paper's: parameters are gathered once a step.
  bool keeps_parameters() const { return c_.plan.plan.zero_stage == 2 && reduces_each(); }
  // Gradients of earlier micro-batches are kept in the type in which they will be reduced.
  bool accumulates_wide() const {
    return size_of(c_.precision().reduce) > size_of(gathered_type());
  }

  // A group's experts and its other parameters meet their own replicas.
  void exchange(StepWriter& w, CollectiveOp op, const Elements& of, DType type, const char* label) {
    const Elements whole = c_.padded(of);
    for (const bool expert : {false, true}) {
      const Bytes bytes(whole.of(expert) * size_of(type).value);
      if (bytes.value > 0 && c_.replicas_of(expert) > 1)
        w.collective(StreamKind::kData, op, c_.group(expert), bytes, label);
    }
  }

  void gather(StepWriter& w, int g) {
    if (now_.gathered.contains(g)) return;
    const Bytes bytes = gathered_bytes(g);
    const Elements mine = c_.share(groups_.at(g));
    const Bytes stored(mine.all() * size_of(c_.precision().parameters).value);
    const Bytes own(mine.all() * size_of(gathered_type()).value);
    if (c_.plan.plan.offload.parameters) {
      w.allocate(MemoryScope::kRank, g, kHostShare, stored, MemoryCategory::kTemporary,
                 StreamKind::kCopy);
      w.copy(GroupKind::kFromHost, StreamKind::kCopy, stored, "parameters");
      w.order(StreamKind::kFromHost, StreamKind::kCopy);
    }
    if (c_.precision().sharded_fp32) {
      w.allocate(MemoryScope::kRank, g, kCastShare, own, MemoryCategory::kTemporary,
                 StreamKind::kCopy);
      w.kernel(StreamKind::kCopy, Activity::kCollective, "multi_tensor_apply_kernel (cast)",
               {"copy_in", stored, own, mine.all()});
    }
    w.allocate(MemoryScope::kRank, g, kGathered, bytes, MemoryCategory::kTemporary,
               StreamKind::kCopy);
    w.kernel(StreamKind::kCopy, Activity::kCollective, "multi_tensor_apply_kernel (copy-in)",
             {"copy_in", own, own, mine.all()});
    w.release(MemoryScope::kRank, g, kCastShare);
    w.release(MemoryScope::kRank, g, kHostShare);
    w.order(StreamKind::kCopy, StreamKind::kData);
    if (now_.copied_out) w.wait(StreamKind::kData, copied_out_);
    exchange(w, CollectiveOp::kAllGather, groups_.at(g), gathered_type(), "parameters");
    w.record(StreamKind::kData, gathered_.try_emplace(g, -1).first->second);
    now_.gathered[g] = false;
  }

  // Parameters of a group as they are computed with, each a tensor.
  std::uint32_t unsharded_pieces(StepWriter& w, int g) {
    const auto [it, added] = pieces_.try_emplace(g, 0);
    if (!added) return it->second;
    const std::int64_t size = size_of(gathered_type()).value;
    std::vector<Bytes> sizes;
    for (const Unit& v : c_.units)
      if (group_of(v) == g)
        for (const Parameter& p : v.parameters)
          sizes.push_back(
              w.runtime().allocated(Bytes(share_of(p) * c_.replicas_of(p.expert) * size)));
    return it->second = w.program().add_pieces(std::move(sizes));
  }

  // In forward what was gathered is kept until the next unit's parameters are copied out, so that
  // the copy and the next gather overlap.
  void release_copied(StepWriter& w) {
    if (now_.copied_group >= 0) w.release(MemoryScope::kRank, now_.copied_group, kGathered);
    now_.copied_group = -1;
  }

  void use(StepWriter& w, const Unit& u, bool forward) {
    const int g = group_of(u);
    if (const auto there = now_.gathered.find(g); there != now_.gathered.end() && there->second)
      return;
    if (!forward || now_.copied_group == g) release_copied(w);
    w.host(c_.runtime.host_per_unshard);
    gather(w, g);
    w.wait(StreamKind::kCompute, gathered_[g]);
    const Bytes bytes = gathered_bytes(g);
    if (forward) release_copied(w);
    w.allocate(MemoryScope::kRank, g, kUnsharded, bytes, MemoryCategory::kTemporary,
               StreamKind::kCompute, unsharded_pieces(w, g));
    w.kernel(StreamKind::kCompute, Activity::kCollective, "split_with_sizes_copy_out",
             {"copy_out", bytes, bytes, groups_.at(g).all()});
    if (forward)
      now_.copied_group = g;
    else
      w.release(MemoryScope::kRank, g, kGathered);
    w.record(StreamKind::kCompute, copied_out_);
    now_.copied_out = true;
    now_.gathered[g] = true;
  }

  void reshard(StepWriter& w, int g) {
    if (now_.gathered.erase(g) > 0) w.release(MemoryScope::kRank, g, kUnsharded);
  }

  void release_gradients_of(StepWriter& w, int g) {
    for (const Unit& v : c_.units)
      if (group_of(v) == g)
        for (const Parameter& p : v.parameters)
          if (p.trainable) release_gradient(w, v, p);
  }

  void accumulate(StepWriter& w, const Unit& u, bool first) {
    const int g = group_of(u);
    const std::int64_t n = trained_.at(g).all();
    const Bytes wide(n * size_of(c_.precision().reduce).value),
        narrow(n * size_of(gathered_type()).value);
    if (first) w.allocate(MemoryScope::kRank, g, kAccumulated, wide, MemoryCategory::kGradients);
    const char* adds = accumulates_wide() ? "mixed_add" : "vectorized";
    w.kernel(StreamKind::kCompute, Activity::kBackward, "elementwise_kernel (accumulate)",
             {first ? "cast" : adds, first ? narrow : narrow + wide, wide, n});
    release_gradients_of(w, g);
  }

  void reduce(StepWriter& w, const Unit& u, bool first, bool last) {
    const int g = group_of(u);
    const std::int64_t n = trained_.at(g).all();
    const std::int64_t mine = c_.share(trained_.at(g)).all();
    const Bytes narrow(n * size_of(gathered_type()).value);
    const Bytes bytes(c_.padded(trained_.at(g)).all() * size_of(c_.precision().reduce).value);
    const bool accumulated = !first && accumulates_wide() && !reduces_each();
    if (now_.reduced) w.wait(StreamKind::kCompute, reduced_);
    if (now_.pending_input >= 0) w.release(MemoryScope::kRank, now_.pending_input, kReduceInput);
    if (accumulated) {
      accumulate(w, u, false);
    }
    w.allocate(MemoryScope::kRank, g, kReduceInput, bytes, MemoryCategory::kTemporary);
    w.kernel(StreamKind::kCompute, Activity::kCollective, "chunk_cat_cuda_kernel",
             {"chunk_cat", accumulated ? bytes : narrow, bytes, n});
    if (accumulated)
      w.release(MemoryScope::kRank, g, kAccumulated);
    else
      release_gradients_of(w, g);
    w.order(StreamKind::kCompute, StreamKind::kData);
    const Bytes shard(mine * size_of(c_.precision().gradients).value);
    const bool adds = !first && reduces_each();
    w.allocate(MemoryScope::kRank, g, adds ? kReduceOutput : kShard, shard,
               MemoryCategory::kGradients, StreamKind::kData);
    exchange(w, CollectiveOp::kReduceScatter, trained_.at(g), c_.precision().reduce, "gradients");
    if (adds) {
      w.kernel(StreamKind::kData, Activity::kCollective,
               "vectorized_elementwise_kernel (add shard)",
               {"vectorized", shard + shard, shard, mine});
      w.release(MemoryScope::kRank, g, kReduceOutput);
    }
    w.record(StreamKind::kData, reduced_);
    now_.reduced = true;
    now_.pending_input = g;
    if (c_.host == nullptr || !last) return;
    c_.host->gradients(w, StreamKind::kData, mine);
    free_sent(w);
    now_.sent = g;
  }

  // A shard of gradients lives on until the next is on its way to the host.
  void free_sent(StepWriter& w) {
    if (now_.sent >= 0) w.release(MemoryScope::kRank, now_.sent, kShard);
    now_.sent = -1;
  }

  DataContext c_;
  std::map<int, Elements> groups_;   // of each group
  std::map<int, Elements> trained_;  // those that get gradients
  // Where the step is.
  struct Now {
    std::map<int, bool> gathered;              // groups, and whether they have been copied out
    bool copied_out = false, reduced = false;  // any
    int pending_input = -1;
    int copied_group = -1;
    int sent = -1;  // whose gradients go to the host
  };
  Now now_;
  // Events of the last gather of a group, copy and reduction.
  std::map<int, EventId> gathered_;
  EventId copied_out_ = -1, reduced_ = -1;
  std::map<int, std::uint32_t> pieces_;  // of each group's parameters
};

}  // namespace

std::unique_ptr<DataParallel> make_fully_sharded(const DataContext& c) {
  return std::make_unique<FullySharded>(c);
}

}  // namespace rehearse
