#include "strategies/data/data_parallel.hpp"

#include <array>

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

std::int64_t Unit::elements() const {
  std::int64_t n = 0;
  for (const Parameter& p : parameters) n += p.elements;
  return n;
}

std::int64_t DataContext::elements() const {
  std::int64_t n = 0;
  for (const Unit& u : units) n += u.elements();
  return n;
}

void run_backward(StepWriter& w, const Unit& unit, BackwardPart part, GradientStore store) {
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
    for (const Parameter& p : u.parameters) release_gradient(w, u, p);
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

void set_up_states(Setup& setup, const DataContext& c, std::span<const std::int64_t> elements) {
  if (c.plan.training.optimizer != OptimizerKind::kAdamW) return;
  const std::int64_t size = size_of(c.precision().optimizer_states).value;
  for (std::int64_t n : elements) setup.states.insert(setup.states.end(), 2, Bytes(n * size));
}

void zero_gradients(StepWriter& w, const DataContext& c) {
  const Bytes bytes(c.elements() * size_of(c.precision().gradients).value);
  w.kernel(StreamKind::kCompute, Activity::kOptimizer, "fill (gradient buffers)",
           {"fill", Bytes(0), bytes, c.elements()});
}

std::span<const DataStrategy> data_strategies() { return kStrategies; }

bool shares_whole_parameters(const ResolvedPlan& plan, const Runtime& runtime) {
  return plan.plan.zero_stage == 1 && runtime.whole_parameter_shards;
}

std::unique_ptr<DataParallel> make_data_parallel(const DataContext& c) {
  const Plan& p = c.plan.plan;
  if (c.plan.replicas() > 1 && p.zero_stage >= 2) return make_fully_sharded(c);
  if (c.plan.replicas() > 1 && (p.gradient_sync == GradientSync::kOverlap || p.zero_stage == 1))
    return make_bucketed(c);
  return make_replicated(c);
}

}  // namespace rehearse
