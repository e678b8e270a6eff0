#include "strategies/offload.hpp"

#include "strategies/data/data_parallel.hpp"
#include "strategies/optimizer.hpp"

namespace rehearse {

void HostOptimizer::gradients(StepWriter& w, StreamKind made_on, std::int64_t elements) {
  if (elements == 0) return;
  const Bytes bytes(elements * size_of(plan_.training.precision.gradients).value);
  parts_.push_back({w.copy(GroupKind::kToHost, made_on, bytes, "gradients"), elements});
}

void HostOptimizer::update(StepWriter& w) {
  const Precision& p = plan_.training.precision;
  // GPUs of a node share their host.
  const BytesPerSecond rate = w.runtime().host_update_bandwidth / plan_.gpus_per_node;
  if (!parts_.empty() && (w.runtime().waits_for_gradient_norm || plan_.plan.offload.parameters))
    w.host_wait(parts_.back().arrived);
  bool first = true;
  for (const Part& part : parts_) {
    w.host_wait(part.arrived, update_traffic(plan_, part.elements) / rate);
    if (plan_.plan.offload.parameters) continue;
    // No parameter changes before backward has read it.
    w.copy(GroupKind::kFromHost, first ? StreamKind::kToHost : StreamKind::kFromHost,
           Bytes(part.elements * size_of(p.parameters).value), "parameters");
    first = false;
  }
  w.order(StreamKind::kFromHost, StreamKind::kCompute);
  parts_.clear();
}

namespace {

// What a frame holds for the unit's backward.
template <class Visit>
void for_each_kept(const Unit& unit, const Visit& visit) {
  for (const MemoryChange& c : unit.segments->kept())
    visit(c.scope == MemoryScope::kPrevious ? unit.position - 1 : unit.position, c);
}

Bytes kept_bytes(const Unit& unit) {
  Bytes sum(0);
  for_each_kept(unit, [&](int, const MemoryChange& c) { sum += c.bytes; });
  return sum;
}

}  // namespace

bool ActivationOffload::leaves(const StepWriter& w, const Unit& unit) {
  const int head = w.positions() - 1;
  return unit.position > 0 && unit.position < head - 1 && unit.segments->has_backward();
}

void ActivationOffload::end_forward(StepWriter& w) {
  if (leaving_ == nullptr) return;
  w.wait(StreamKind::kCompute, left_);
  for_each_kept(*leaving_, [&](int position, const MemoryChange& c) {
    w.release(MemoryScope::kFrame, position, c.slot, c.bytes, MemoryCategory::kActivations);
  });
  leaving_ = nullptr;
}

void ActivationOffload::after_forward(StepWriter& w, const Unit& unit) {
  end_forward(w);
  if (!leaves(w, unit)) return;
  leaving_ = &unit;
  left_ = w.copy(GroupKind::kToHost, StreamKind::kCompute, kept_bytes(unit), "activations");
}

EventId ActivationOffload::fetch(StepWriter& w, const Unit& unit) {
  for_each_kept(unit, [&](int position, const MemoryChange& c) {
    w.allocate(MemoryScope::kFrame, position, c.slot, c.bytes, MemoryCategory::kActivations);
  });
  return w.copy(GroupKind::kFromHost, StreamKind::kCompute, kept_bytes(unit), "activations");
}

void ActivationOffload::before_backward(StepWriter& w, std::span<const Unit> chunk,
                                        std::size_t at) {
  const Unit& unit = chunk[at];
  const EventId here = coming_ == &unit ? came_ : leaves(w, unit) ? fetch(w, unit) : -1;
  coming_ = nullptr;
  if (at > 0 && leaves(w, chunk[at - 1])) {
    coming_ = &chunk[at - 1];
    came_ = fetch(w, *coming_);
  }
  if (here >= 0) w.wait(StreamKind::kCompute, here);
}

}  // namespace rehearse
