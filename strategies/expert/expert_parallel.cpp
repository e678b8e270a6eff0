#include "strategies/expert/expert_parallel.hpp"

#include "strategies/expert/load.hpp"

namespace rehearse {

ExpertLayout expert_layout(const ResolvedPlan& plan, const Model& model, const Runtime& runtime) {
  ExpertLayout out;
  const Experts& e = model.experts;
  if (e.count == 0) return out;
  // Of all ranks that share the experts; under sequence parallelism those of a tensor-parallel
  // group have their part of the same tokens, which the graphs divide later.
  const std::int64_t tokens =
      plan.training.sequence_length / plan.context * plan.training.micro_batch_size * plan.expert;
  out.ranks = plan.expert;
  out.rows = fullest_rank(
      expert_rows(plan.training.expert_load, tokens * e.per_token, tokens, e.count), plan.expert);
  out.grouped = runtime.groups_experts;
  // Training on fresh batches has had all numbers of rows before long.
  if (plan.training.repeats_batch)
    out.unseen = unseen_rows(tokens * e.per_token / e.count, tokens,
                             model.layers * static_cast<std::int64_t>(out.rows.size()));
  out.gathers_tokens = plan.plan.expert_dispatch == ExpertDispatch::kAllGather;
  out.cut = plan.expert_tensor > 1;
  return out;
}

ExpertPlace expert_place(const ResolvedPlan& plan, std::size_t index) {
  const auto cut = static_cast<std::size_t>(plan.expert_tensor),
             all = cut * static_cast<std::size_t>(plan.expert);
  return {index / all * cut + index % cut, index % all};
}

std::vector<int> expert_group(const ResolvedPlan& plan, const std::vector<int>& ranks,
                              std::size_t index) {
  const auto cut = static_cast<std::size_t>(plan.expert_tensor),
             size = static_cast<std::size_t>(plan.expert);
  const std::size_t first = index / (cut * size) * (cut * size) + index % cut;
  std::vector<int> out;
  for (std::size_t i = 0; i < size; ++i) out.push_back(ranks.at(first + i * cut));
  return out;
}

std::vector<int> expert_replicas(const ResolvedPlan& plan, const std::vector<int>& ranks,
                                 std::size_t index) {
  const std::size_t share =
      static_cast<std::size_t>(plan.expert_tensor) * static_cast<std::size_t>(plan.expert);
  std::vector<int> out;
  for (std::size_t i = index % share; i < ranks.size(); i += share) out.push_back(ranks[i]);
  return out;
}

}  // namespace rehearse
