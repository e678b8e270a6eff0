#include "strategies/optimizer.hpp"

#include <algorithm>
#include <cmath>

#include "strategies/segments/kernels.hpp"

namespace rehearse {
namespace {

struct PerElement {
  std::int64_t parameter, gradient, moments, master;
};

PerElement per_element(const ResolvedPlan& plan) {
  const Precision& p = plan.training.precision;
  const std::int64_t moments =
      plan.training.optimizer == OptimizerKind::kAdamW ? 2 * size_of(p.optimizer_states).value : 0;
  return {size_of(p.parameters).value, size_of(p.gradients).value, moments,
          p.master_weights ? 4 : 0};
}

// All pipeline ranks agree on the norm of the gradients before any of them updates, unless the
// schedule lets them start and checks afterwards.
void agree_on_norm(StepWriter& w, const ResolvedPlan& plan) {
  if (plan.pipeline > 1) {
    if (plan.schedule->post_validates) return;
    w.order(StreamKind::kCompute, StreamKind::kData);
    w.collective(StreamKind::kData, CollectiveOp::kAllReduce, GroupKind::kPipeline, Bytes(4),
                 "gradient norm");
    w.order(StreamKind::kData, StreamKind::kCompute);
  }
  w.host_wait(w.record(StreamKind::kCompute));
}

}  // namespace

void optimizer_step(StepWriter& w, const ResolvedPlan& plan, const DataParallel& data,
                    double unused) {
  const std::int64_t elements = data.updated_elements(), tensors = data.updated_tensors();
  const PerElement b = per_element(plan);
  const Runtime& rt = w.runtime();
  const bool adamw = plan.training.optimizer == OptimizerKind::kAdamW;
  const Bytes master(elements * (b.master > 0 ? b.master : b.parameter));
  const Bytes clipped(data.clipped_elements() * b.gradient);
  const TrafficBase base{{clipped}, Bytes(elements * b.parameter), master, Bytes(b.gradient)};
  around_update(w, rt.before_optimizer, base);
  if (rt.waits_for_gradient_norm) agree_on_norm(w, plan);
  w.host(rt.host_optimizer + rt.host_optimizer_per_tensor * static_cast<double>(tensors));
  // With master weights the step reads those, and writes them and the working copy.
  const std::int64_t read = (b.master > 0 ? b.master : b.parameter) + b.gradient + b.moments;
  const std::int64_t written = b.parameter + b.master + b.moments;
  w.kernel(StreamKind::kCompute, Activity::kOptimizer,
           adamw ? "multi_tensor_apply_kernel (FusedAdam)" : "multi_tensor_apply_kernel (SGD)",
           {rt.optimizer_class.at(adamw ? "adamw" : "sgd"), Bytes(elements * read),
            Bytes(elements * written), elements});
  if (adamw && unused > 0)  // the same kernel: by so much is it longer
    w.kernel(
        StreamKind::kCompute, Activity::kOptimizer, "multi_tensor_apply_kernel (FusedAdam)",
        {"adamw_unused", Bytes(0), Bytes(0), std::llround(static_cast<double>(elements) * unused)});
  around_update(w, rt.after_optimizer, base);
}

double share_without_gradient(const ResolvedPlan& plan, const Model& model,
                              const std::vector<Unit>& units) {
  const Training& t = plan.training;
  if (!t.repeats_batch) return 0;
  std::int64_t embedding = 0, all = 0;
  for (const Unit& u : units)
    for (const Parameter& p : u.parameters) {
      if (!p.trainable) continue;
      all += p.elements;
      if (u.position == 0) embedding = std::max(embedding, p.elements);
    }
  if (embedding == 0) return 0;
  const auto tokens = static_cast<double>(t.global_batch_size * t.sequence_length);
  const double without = std::exp(-tokens / static_cast<double>(model.vocabulary));
  return without * static_cast<double>(embedding) / static_cast<double>(all);
}

Bytes update_traffic(const ResolvedPlan& plan, std::int64_t elements) {
  const PerElement b = per_element(plan);
  const std::int64_t read = (b.master > 0 ? b.master : b.parameter) + b.gradient + b.moments;
  return Bytes(elements * (read + b.parameter + b.master + b.moments));
}

Bytes optimizer_state_bytes(const ResolvedPlan& plan, std::int64_t elements) {
  const PerElement b = per_element(plan);
  return Bytes(elements * (b.moments + b.master));
}

}  // namespace rehearse
