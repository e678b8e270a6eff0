#include "strategies/data/data_parallel.hpp"

namespace rehearse {
namespace {

// Whole replicas. With more than one, gradients are all-reduced parameter by parameter after the
// last backward, each blocking the compute stream (`gradient_sync: end`).
class Replicated final : public DataParallel {
 public:
  explicit Replicated(const DataContext& c) : c_(c) {}

  bool repeats() const override { return true; }
  void begin_step(StepWriter& w) override {
    if (c_.runtime.persistent_gradients) zero_gradients(w, c_);
  }

  void backward(StepWriter& w, const Unit& u, BackwardPart part, bool first, bool) override {
    run_backward(w, u, part, first ? GradientStore::kFresh : GradientStore::kAccumulate);
  }

  void finish_backward(StepWriter& w) override {
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
    if (!c_.runtime.persistent_gradients) release_gradients(w, c_.units);
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
  DataContext c_;
};

}  // namespace

std::unique_ptr<DataParallel> make_replicated(const DataContext& c) {
  return std::make_unique<Replicated>(c);
}

}  // namespace rehearse
