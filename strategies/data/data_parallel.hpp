#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "strategies/offload.hpp"
#include "strategies/plan.hpp"
#include "strategies/segments/segments.hpp"
#include "strategies/step_writer.hpp"

namespace rehearse {

// A parameter of one graph of a rank, as this rank has it (after tensor parallelism).
struct Parameter {
  TensorId tensor = 0;
  std::int64_t elements = 0;
  bool expert = false;  // of a routed expert: it has replicas of its own
  bool trainable = true;
};

// Elements of parameters: of experts, and of everything else.
struct Elements {
  std::int64_t shared = 0, experts = 0;
  std::int64_t all() const { return shared + experts; }
  std::int64_t of(bool expert) const { return expert ? experts : shared; }
  void add(const Parameter& p) { (p.expert ? experts : shared) += p.elements; }
};

// One graph (embedding, a block, the head) of a rank: what data parallelism wraps.
struct Unit {
  int position = 0;  // 0 the embedding, 1 to L the blocks, L + 1 the head
  int chunk = 0;
  SegmentMaker* segments = nullptr;
  std::vector<Parameter> parameters;  // that this unit owns (a tied head owns no matrix)
};

// Which part of a backward pass an action asks for.
enum class BackwardPart : std::uint8_t { kAll, kInputs, kWeights };

// How replicas keep their parameters, gradients and optimizer states, and meet: one file a
// strategy. Called by the rank's builder in the order in which a host would run hooks.
class DataParallel {
 public:
  virtual ~DataParallel() = default;
  // What the next hooks depend on of those before: in one state, forwards, and backwards of
  // micro-batches that are neither first nor last, are written the same way, and once. What they
  // leave is restored where they are called again.
  using State = std::vector<std::int64_t>;
  virtual State state() const { return {}; }
  virtual void restore(const State&) {}
  virtual void begin_step(StepWriter&) {}
  virtual void before_forward(StepWriter&, const Unit&) {}
  virtual void forward(StepWriter&, const Unit&);
  virtual void after_forward(StepWriter&, const Unit&) {}
  virtual void before_backward(StepWriter&, const Unit&) {}
  // Runs the unit's backward. `first` and `last`: the first and last micro-batch of the step that
  // runs this part of backward through this unit.
  virtual void backward(StepWriter&, const Unit&, BackwardPart part, bool first, bool last) = 0;
  // After every micro-batch's backward, before the optimizer.
  virtual void finish_backward(StepWriter&) {}
  // After the optimizer has updated what this rank owns.
  virtual void after_optimizer(StepWriter&) {}

  // What every micro-batch communicates on the data stream, at least.
  virtual std::vector<CollectiveWork> every_micro_batch() const { return {}; }

  // Elements that this rank updates and keeps states for, and the bytes it keeps for the whole run.
  virtual std::int64_t updated_elements() const = 0;
  virtual std::int64_t updated_tensors() const = 0;
  // Elements whose gradients it has, reduced, before the update.
  virtual std::int64_t clipped_elements() const { return updated_elements(); }
  virtual Bytes parameter_bytes() const = 0;
  virtual Bytes persistent_gradient_bytes() const { return Bytes(0); }
  // The same tensor by tensor; nothing where they are cut from contiguous buffers.
  virtual void set_up(Setup&) const {}
};

// What every strategy knows.
struct DataContext {
  const ResolvedPlan& plan;
  const Runtime& runtime;
  std::span<Unit> units;          // of this rank, by position
  std::span<const int> replicas;  // that this rank stands for: the one that owns most counts
  HostOptimizer* host = nullptr;  // where the update is the host's
  const Precision& precision() const { return plan.training.precision; }
  Elements elements() const;   // of all units
  Elements trainable() const;  // those that get gradients and are updated
  std::int64_t trainable_tensors() const;
  // Ranks that hold the same parameter, and the group in which they meet.
  int replicas_of(bool expert) const { return expert ? plan.expert_replicas() : plan.replicas(); }
  static GroupKind group(bool expert) { return expert ? GroupKind::kExpertData : GroupKind::kData; }
  // An even share for one of the replicas, and what all shares add up to, padded.
  Elements share(const Elements& of) const;
  Elements padded(const Elements& of) const;
};

// Runs backward with the given store; what all strategies without buckets do.
void run_backward(StepWriter& w, const Unit& unit, BackwardPart part, GradientStore store);
// Frees the stored gradient of a parameter.
void release_gradient(StepWriter& w, const Unit& unit, const Parameter& p);
// Gradients that are not persistent die when the optimizer has used them (zero_grad).
void release_gradients(StepWriter& w, std::span<Unit> units);

// Every parameter is a tensor of its own, and so are its optimizer states.
void set_up_parameters(Setup& setup, const DataContext& c);
void set_up_states(Setup& setup, const DataContext& c, std::span<const std::int64_t> elements);
// Elements of every parameter, in order.
std::vector<std::int64_t> parameter_elements(const DataContext& c);
std::vector<std::int64_t> trainable_parameter_elements(const DataContext& c);

// Kernels and host work beside an update.
void around_update(StepWriter& w, const PassTemplate& pass, const TrafficBase& base);
// Persistent gradient buffers start a step with zeros.
void zero_gradients(StepWriter& w, const DataContext& c);

struct DataStrategy {
  const char* name;
  const char* summary;
  std::unique_ptr<DataParallel> (*make)(const DataContext&);
};
std::span<const DataStrategy> data_strategies();
// Whether ranks own whole parameters, and so one may own more than another (ZeRO 1 of PyTorch).
bool shares_whole_parameters(const ResolvedPlan& plan, const Runtime& runtime);
// The strategy that a plan asks for.
std::unique_ptr<DataParallel> make_data_parallel(const DataContext& c);

// One file each.
std::unique_ptr<DataParallel> make_replicated(const DataContext&);
std::unique_ptr<DataParallel> make_bucketed(const DataContext&);
std::unique_ptr<DataParallel> make_fully_sharded(const DataContext&);

}  // namespace rehearse
