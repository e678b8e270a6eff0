#include "strategies/data/data_parallel.hpp"

#include <array>

#include "strategies/segments/kernels.hpp"

namespace rehearse {
namespace {

constexpr std::array kStrategies{
    DataStrategy{"replicated", "whole replicas; one blocking all-reduce a parameter after backward",
                 make_replicated},
    DataStrategy{
        "bucketed",
        "whole replicas; buckets of gradients reduced during backward (DDP), optimizer states "
        "replicated (ZeRO 0) or cut (ZeRO 1)",
        make_bucketed},
    DataStrategy{"fully-sharded",
                 "parameters gathered when used, gradients reduce-scattered (ZeRO 2, 3)",
                 make_fully_sharded},
};

}  // namespace

Elements DataContext::elements() const {
  Elements n;
  for (const Unit& u : units)
    for (const Parameter& p : u.parameters) n.add(p);
  return n;
}

Elements DataContext::trainable() const {
  Elements n;
  for (const Unit& u : units)
    for (const Parameter& p : u.parameters)
      if (p.trainable) n.add(p);
  return n;
}

std::int64_t DataContext::trainable_tensors() const {
  std::int64_t n = 0;
  for (const Unit& u : units)
    for (const Parameter& p : u.parameters) n += p.trainable;
  return n;
}

Elements DataContext::share(const Elements& of) const {
  const auto part = [&](bool expert) {
    const std::int64_t n = replicas_of(expert);
    return (of.of(expert) + n - 1) / n;
  };
  return {part(false), part(true)};
}

Elements DataContext::padded(const Elements& of) const {
  const Elements s = share(of);
  return {s.shared * replicas_of(false), s.experts * replicas_of(true)};
}

void DataParallel::forward(StepWriter& w, const Unit& unit) {
  w.segment(unit.segments->forward(), unit.position);
}

void run_backward(StepWriter& w, const Unit& unit, BackwardPart part, GradientStore store) {
  if (!unit.segments->has_backward()) return;
  switch (part) {
    case BackwardPart::kAll:
      w.segment(unit.segments->backward(store), unit.position);
      break;
    case BackwardPart::kInputs:
      w.segment(unit.segments->backward_inputs(store), unit.position);
      break;
    case BackwardPart::kWeights:
      w.segment(unit.segments->backward_weights(store), unit.position);
      break;
  }
}

void release_gradient(StepWriter& w, const Unit& u, const Parameter& p) {
  const bool tied = u.segments->tied(p.tensor);
  w.release(tied ? MemoryScope::kModel : MemoryScope::kRank, u.position,
            tied ? kTiedSlot : p.tensor, u.segments->gradient_bytes(p.tensor),
            MemoryCategory::kGradients);
}

void release_gradients(StepWriter& w, std::span<Unit> units) {
  w.at(0, 0);
  for (const Unit& u : units)
    for (const Parameter& p : u.parameters)
      if (p.trainable) release_gradient(w, u, p);
}

std::vector<std::int64_t> parameter_elements(const DataContext& c) {
  std::vector<std::int64_t> out;
  for (const Unit& u : c.units)
    for (const Parameter& p : u.parameters) out.push_back(p.elements);
  return out;
}

void set_up_parameters(Setup& setup, const DataContext& c) {
  const std::int64_t size = size_of(c.precision().parameters).value;
  for (std::int64_t n : parameter_elements(c)) setup.allocate(Bytes(n * size));
}

std::vector<std::int64_t> trainable_parameter_elements(const DataContext& c) {
  std::vector<std::int64_t> out;
  for (const Unit& u : c.units)
    for (const Parameter& p : u.parameters)
      if (p.trainable) out.push_back(p.elements);
  return out;
}

void set_up_states(Setup& setup, const DataContext& c, std::span<const std::int64_t> elements) {
  if (c.plan.training.optimizer != OptimizerKind::kAdamW || c.host != nullptr) return;
  const std::int64_t size = size_of(c.precision().optimizer_states).value;
  for (std::int64_t n : elements) setup.states.insert(setup.states.end(), 2, Bytes(n * size));
}

void around_update(StepWriter& w, const PassTemplate& pass, const TrafficBase& base) {
  const Precision none;
  const KernelContext context{w.runtime(), none, false, w.program()};
  w.host(pass.host);
  for (const Kernel& k : template_kernels(context, pass, base))
    w.kernel(StreamKind::kCompute, Activity::kOptimizer, w.program().names[k.name],
             std::get<MemoryWork>(k.work));
}

void zero_gradients(StepWriter& w, const DataContext& c) {
  const std::int64_t n = c.trainable().all();
  const Bytes bytes(n * size_of(c.precision().gradients).value);
  w.kernel(StreamKind::kCompute, Activity::kOptimizer, "fill (gradient buffers)",
           {"fill", Bytes(0), bytes, n});
}

std::span<const DataStrategy> data_strategies() { return kStrategies; }

bool shares_whole_parameters(const ResolvedPlan& plan, const Runtime& runtime) {
  return plan.plan.zero_stage == 1 && runtime.whole_parameter_shards;
}

std::unique_ptr<DataParallel> make_data_parallel(const DataContext& c) {
  const Plan& p = c.plan.plan;
  const bool several = c.plan.replicas() > 1;
  if (c.plan.shards()) return make_fully_sharded(c);
  if (several && (p.gradient_sync == GradientSync::kOverlap || p.zero_stage == 1))
    return make_bucketed(c);
  return make_replicated(c);
}

}  // namespace rehearse
