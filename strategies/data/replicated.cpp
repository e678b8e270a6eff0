#include "strategies/data/data_parallel.hpp"

namespace rehearse {
namespace {

// Whole replicas. With more than one, gradients are all-reduced parameter by parameter after the
// last backward, each blocking the compute stream (`gradient_sync: end`).
class Replicated final : public DataParallel {
 public:
  explicit Replicated(const DataContext& c) : c_(c) {}

  void begin_step(StepWriter& w) override {
    if (c_.runtime.persistent_gradients) zero_gradients(w, c_);
  }

  void backward(StepWriter& w, const Unit& u, BackwardPart part, bool first, bool last) override {
    run_backward(w, u, part, first ? GradientStore::kFresh : GradientStore::kAccumulate);
    if (last && part != BackwardPart::kInputs && c_.plan.replicas() == 1) to_host(w, u);
  }

  void finish_backward(StepWriter& w) override {
    reduce(w);
    if (c_.host == nullptr) return;
    if (c_.plan.replicas() > 1)
      for (const Unit& u : c_.units) to_host(w, u);
    free_sent(w);
  }

  void reduce(StepWriter& w) {
    const std::int64_t element = size_of(c_.precision().reduce).value;
    for (const Unit& u : c_.units)
      for (const Parameter& p : u.parameters) {
        if (!p.trainable || c_.replicas_of(p.expert) == 1) continue;
        w.order(StreamKind::kCompute, StreamKind::kData);
        w.collective(StreamKind::kData, CollectiveOp::kAllReduce, c_.group(p.expert),
                     Bytes(p.elements * element), "gradients");
        w.order(StreamKind::kData, StreamKind::kCompute);
      }
  }

  void after_optimizer(StepWriter& w) override {
    if (!c_.runtime.persistent_gradients && c_.host == nullptr) release_gradients(w, c_.units);
  }

  std::int64_t updated_elements() const override { return c_.trainable().all(); }
  std::int64_t updated_tensors() const override { return c_.trainable_tensors(); }
  Bytes parameter_bytes() const override {
    return Bytes(c_.elements().all() * size_of(c_.precision().parameters).value);
  }
  void set_up(Setup& setup) const override {
    if (c_.runtime.persistent_gradients) return;
    set_up_parameters(setup, c_);
    set_up_states(setup, c_, trainable_parameter_elements(c_));
  }
  Bytes persistent_gradient_bytes() const override {
    if (!c_.runtime.persistent_gradients) return Bytes(0);
    return Bytes(c_.trainable().all() * size_of(c_.precision().gradients).value);
  }

 private:
  // A unit's gradients live on until the next unit's are there.
  void to_host(StepWriter& w, const Unit& u) {
    if (c_.host == nullptr) return;
    std::int64_t elements = 0;
    for (const Parameter& p : u.parameters) elements += p.trainable ? p.elements : 0;
    c_.host->gradients(w, StreamKind::kCompute, elements);
    free_sent(w);
    sent_ = &u;
  }
  void free_sent(StepWriter& w) {
    if (sent_ == nullptr || c_.runtime.persistent_gradients) return;
    for (const Parameter& p : sent_->parameters)
      if (p.trainable) release_gradient(w, *sent_, p);
    sent_ = nullptr;
  }

  DataContext c_;
  const Unit* sent_ = nullptr;
};

}  // namespace

std::unique_ptr<DataParallel> make_replicated(const DataContext& c) {
  return std::make_unique<Replicated>(c);
}

}  // namespace rehearse
