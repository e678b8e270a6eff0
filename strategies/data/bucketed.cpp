#include <algorithm>
#include <map>
#include <numeric>
#include <optional>

#include "strategies/data/data_parallel.hpp"

namespace rehearse {
namespace {

// Buckets of gradients, reduced on their own stream while backward goes on (PyTorch DDP: Li et al.
// 2020; Megatron's distributed optimizer).
//
// Buckets are filled in the reverse order of the parameters up to `bucket_size` each (the first up
// to the runtime's `first_bucket`, unless the plan states a size), and are launched in that order
// as soon as the last of their gradients exists. ZeRO 0 all-reduces. ZeRO 1 in PyTorch all-reduces
// too, and each rank then updates whole parameters and broadcasts them; Megatron reduce-scatters,
// updates an even share, and all-gathers; nanotron all-reduces, updates an even share of every
// parameter, and all-gathers.
class Bucketed final : public DataParallel {
 public:
  explicit Bucketed(const DataContext& c) : c_(c) {
    if (shares_whole_parameters(c_.plan, c_.runtime)) assign_owners();
  }

  void begin_step(StepWriter& w) override {
    make_buckets();
    std::fill(missing_.begin(), missing_.end(), -1);
    if (c_.runtime.persistent_gradients) zero_gradients(w, c_);
  }

  void backward(StepWriter& w, const Unit& u, BackwardPart part, bool first, bool last) override {
    if (!u.segments->has_backward()) return;
    const bool persistent = c_.runtime.persistent_gradients;
    if (!last) {
      run_backward(w, u, part, first ? GradientStore::kFresh : GradientStore::kAccumulate);
      return;
    }
    const bool copies = !persistent && c_.runtime.copies_gradients;
    GradientStore store = first ? GradientStore::kFresh : GradientStore::kAccumulate;
    if (copies) store = first ? GradientStore::kCopyOut : GradientStore::kAccumulateCopyOut;
    if (part != BackwardPart::kAll) {
      run_backward(w, u, part, store);
      if (part == BackwardPart::kWeights)
        for (const Parameter& p : u.parameters)
          if (p.trainable) ready(w, u, p.tensor);
      return;
    }
    for (const BackwardPiece& piece : u.segments->backward_pieces(store)) {
      w.segment(piece.segment, u.position);
      // Parameters of one operator become ready last first.
      for (auto p = piece.ready.rbegin(); p != piece.ready.rend(); ++p) ready(w, u, *p);
    }
  }

  void finish_backward(StepWriter& w) override {
    w.order(StreamKind::kData, StreamKind::kCompute);
    if (c_.host != nullptr && !owned_.empty())
      c_.host->gradients(w, StreamKind::kData, updated_elements());
  }

  void after_optimizer(StepWriter& w) override {
    if (c_.plan.plan.zero_stage == 1) share_parameters(w);
    if (!c_.runtime.persistent_gradients && !c_.runtime.copies_gradients)
      release_gradients(w, c_.units);
  }

  std::int64_t updated_elements() const override {
    if (c_.plan.plan.zero_stage == 0) return c_.trainable().all();
    if (!owned_.empty()) {
      std::int64_t most = 0;
      for (const int replica : c_.replicas)
        most = std::max(most, owned_[static_cast<std::size_t>(replica)]);
      return most;
    }
    return c_.share(c_.trainable()).all();
  }
  std::int64_t updated_tensors() const override {
    const std::int64_t n = c_.trainable_tensors();
    const bool all = c_.plan.plan.zero_stage == 0 || c_.runtime.reduces_whole_gradients;
    return all ? n : (n + c_.plan.replicas() - 1) / c_.plan.replicas();
  }
  std::int64_t clipped_elements() const override {
    return c_.runtime.reduces_whole_gradients ? c_.trainable().all() : updated_elements();
  }
  Bytes parameter_bytes() const override {
    return Bytes(c_.elements().all() * size_of(c_.precision().parameters).value);
  }
  // DDP broadcasts what the model was built with in flat pieces, two at a time, and makes one
  // bucket of all gradients; after the first backward it makes those of `bucket_size`, in the order
  // of gradients. The first is not given back until the second step is through (its reduction holds
  // it): a record of the allocator's calls on H200, calibration/pytorch/allocations.py.
  void set_up(Setup& setup) const override {
    if (c_.runtime.persistent_gradients) return;
    set_up_parameters(setup, c_);
    const std::vector<std::int64_t> elements = parameter_elements(c_),
                                    trained = trainable_parameter_elements(c_);
    const std::int64_t size = size_of(c_.precision().parameters).value;
    std::vector<std::uint32_t> in_flight;
    const auto finish = [&](std::size_t most) {
      while (in_flight.size() > most) {
        setup.release(in_flight.front());
        in_flight.erase(in_flight.begin());
      }
    };
    for (const auto& [bytes, tensors] : filled(elements, size, kBroadcast, kBroadcast)) {
      finish(1);
      if (tensors == 1) continue;  // broadcast in place
      in_flight.push_back(setup.allocate(bytes));
    }
    finish(0);
    const std::int64_t gradient = size_of(c_.precision().gradients).value;
    setup.allocate(
        Bytes(std::accumulate(trained.begin(), trained.end(), std::int64_t{0}) * gradient));
    for (const Bucket& b : buckets_) setup.before_second.push_back(b.bytes);
    set_up_states(setup, c_, owned_.empty() ? trained : owned_elements_);
  }
  Bytes persistent_gradient_bytes() const override {
    return Bytes(c_.trainable().all() * size_of(c_.precision().gradients).value);
  }

 private:
  struct Bucket {
    Bytes bytes{0};
    int parameters = 0;
    bool expert = false;
  };

  static constexpr Bytes kBroadcast{250 << 20};

  Bytes first_limit() const {
    const bool smaller = c_.runtime.first_bucket.value > 0 && !c_.plan.plan.states_bucket_size;
    return smaller ? c_.runtime.first_bucket : c_.plan.plan.bucket_size;
  }

  struct Filled {
    Bytes bytes{0};
    int tensors = 0;
  };
  // Tensors in order, in groups that are full when they reach the limit.
  static std::vector<Filled> filled(const std::vector<std::int64_t>& elements, std::int64_t size,
                                    Bytes first, Bytes others) {
    std::vector<Filled> out;
    for (std::int64_t n : elements) {
      if (out.empty() || out.back().bytes >= (out.size() == 1 ? first : others)) out.emplace_back();
      out.back().bytes += Bytes(n * size);
      ++out.back().tensors;
    }
    return out;
  }

  void make_buckets() {
    const std::int64_t element = size_of(c_.precision().gradients).value;
    Bytes limit = first_limit();
    // Parameters of experts have buckets of their own, filled beside the others'.
    std::optional<std::size_t> filling[2];
    for (auto u = c_.units.rbegin(); u != c_.units.rend(); ++u)
      for (auto p = u->parameters.rbegin(); p != u->parameters.rend(); ++p) {
        if (!p->trainable) continue;
        std::optional<std::size_t>& at = filling[p->expert ? 1 : 0];
        if (!at || buckets_[*at].bytes >= limit) {
          if (!buckets_.empty()) limit = c_.plan.plan.bucket_size;
          at = buckets_.size();
          buckets_.push_back({Bytes(0), 0, p->expert});
        }
        Bucket& bucket = buckets_[*at];
        bucket.bytes += Bytes(p->elements * element);
        ++bucket.parameters;
        bucket_of_[{u->position, p->tensor}] = *at;
      }
    missing_.assign(buckets_.size(), -1);
  }

  void ready(StepWriter& w, const Unit& u, TensorId tensor) {
    const auto it = bucket_of_.find({u.position, tensor});
    if (it == bucket_of_.end()) return;
    int& missing = missing_[it->second];
    if (missing < 0) missing = buckets_[it->second].parameters;
    --missing;
    while (next_ < buckets_.size() && missing_[next_] == 0) launch(w, buckets_[next_++]);
    if (next_ == buckets_.size()) next_ = 0;
  }

  void launch(StepWriter& w, const Bucket& b) {
    if (c_.runtime.scales_buckets)
      w.kernel(StreamKind::kCompute, Activity::kBackward, "vectorized_elementwise_kernel (scale)",
               {"vectorized", b.bytes, b.bytes,
                b.bytes.value / size_of(c_.precision().gradients).value});
    w.order(StreamKind::kCompute, StreamKind::kData);
    const bool scatter = c_.plan.plan.zero_stage == 1 && !c_.runtime.whole_parameter_shards &&
                         !c_.runtime.reduces_whole_gradients;
    const std::int64_t elements = b.bytes.value / size_of(c_.precision().gradients).value;
    w.collective(
        StreamKind::kData, scatter ? CollectiveOp::kReduceScatter : CollectiveOp::kAllReduce,
        c_.group(b.expert), Bytes(elements * size_of(c_.precision().reduce).value), "gradients");
    if (c_.host == nullptr || !owned_.empty()) return;
    const std::int64_t n = scatter ? c_.replicas_of(b.expert) : 1;
    c_.host->gradients(w, StreamKind::kData, (elements + n - 1) / n);
  }

  // ZeroRedundancyOptimizer: parameters by size, largest first, each to the rank with least.
  void assign_owners() {
    std::vector<std::int64_t> sizes;
    for (const Unit& u : c_.units)
      for (const Parameter& p : u.parameters)
        if (p.trainable) sizes.push_back(p.elements);
    std::stable_sort(sizes.begin(), sizes.end(), std::greater<>());
    owned_.assign(static_cast<std::size_t>(c_.plan.replicas()), 0);
    std::vector<std::vector<std::int64_t>> of(owned_.size());
    for (std::int64_t s : sizes) {
      const auto least = std::min_element(owned_.begin(), owned_.end());
      *least += s;
      of[static_cast<std::size_t>(least - owned_.begin())].push_back(s);
    }
    // Fragmentation is that of the rank that owns most, on every rank: so folding is exact.
    const auto fullest = std::max_element(owned_.begin(), owned_.end()) - owned_.begin();
    owned_elements_ = of[static_cast<std::size_t>(fullest)];
  }

  void share_parameters(StepWriter& w) {
    const std::int64_t element =
        size_of(c_.precision().master_weights ? c_.precision().compute : c_.precision().parameters)
            .value;
    w.order(StreamKind::kCompute, StreamKind::kData);
    if (c_.runtime.whole_parameter_shards) {
      for (const Unit& u : c_.units)
        for (const Parameter& p : u.parameters)
          if (p.trainable)
            w.collective(StreamKind::kData, CollectiveOp::kBroadcast, c_.group(p.expert),
                         Bytes(p.elements * element), "parameters");
    } else {
      for (const Bucket& b : buckets_)
        w.collective(StreamKind::kData, CollectiveOp::kAllGather, c_.group(b.expert),
                     Bytes(b.bytes.value / size_of(c_.precision().gradients).value * element),
                     "parameters");
    }
    w.order(StreamKind::kData, StreamKind::kCompute);
    if (c_.runtime.reduces_whole_gradients) copy_parts(w, element);
  }

  // What was gathered lies rank by rank, and in each parameter by parameter.
  void copy_parts(StepWriter& w, std::int64_t element) {
    PassTemplate pass = c_.runtime.gather_parameters;
    pass.host = pass.host * static_cast<double>(c_.trainable_tensors() * c_.plan.replicas());
    TrafficBase base;
    base.parameters = Bytes(c_.trainable().all() * element);
    base.element = Bytes(element);
    around_update(w, pass, base);
  }

  DataContext c_;
  std::vector<Bucket> buckets_;
  std::map<std::pair<int, TensorId>, std::size_t> bucket_of_;
  std::vector<int> missing_;
  std::size_t next_ = 0;
  std::vector<std::int64_t> owned_;           // by each rank
  std::vector<std::int64_t> owned_elements_;  // by the fullest, of each parameter
};

}  // namespace

std::unique_ptr<DataParallel> make_bucketed(const DataContext& c) {
  return std::make_unique<Bucketed>(c);
}

}  // namespace rehearse
