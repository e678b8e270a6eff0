#include "tools/cli/memory_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "sim/base/format.hpp"

namespace rehearse {
namespace {

// The largest parts of the fullest stage, each with what would shrink it.
std::vector<std::string> memory_advice(const Simulation& s, const StageReport& stage) {
  std::vector<std::size_t> order{0, 1, 2, 3, 4};
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return stage.at_peak[a] > stage.at_peak[b];
  });
  const ResolvedPlan& p = s.plan;
  const bool shards = p.replicas() > 1;
  const char* more = p.stages() < s.model.layers ? "more tensor or pipeline parallelism"
                                                 : "more tensor parallelism";
  std::vector<std::string> out;
  for (std::size_t i = 0; i < 3; ++i) {
    const auto category = static_cast<MemoryCategory>(order[i]);
    std::string help = more;
    if (category == MemoryCategory::kOptimizerStates && shards && p.plan.zero_stage == 0)
      help = "zero_stage: 1 cuts them over the data-parallel ranks";
    else if (category == MemoryCategory::kGradients && shards && p.plan.zero_stage < 2)
      help = "zero_stage: 2 cuts them over the data-parallel ranks";
    else if (category == MemoryCategory::kParameters && shards && p.plan.zero_stage < 3)
      help = "zero_stage: 3 cuts them over the data-parallel ranks";
    else if (category == MemoryCategory::kActivations || category == MemoryCategory::kTemporary)
      help = p.training.micro_batch_size > 1            ? "a smaller micro_batch_size"
             : p.training.recompute != Recompute::kFull ? "recompute: full"
                                                        : more;
    out.push_back(fmt::format("{} take {} of stage {}; what would help: {}",
                              memory_category_name(category), format_bytes(stage.at_peak[order[i]]),
                              stage.pipeline_stage, help));
  }
  return out;
}

}  // namespace

const char* memory_category_name(MemoryCategory category) {
  constexpr const char* kNames[kMemoryCategories] = {"parameters", "gradients", "optimizer states",
                                                     "activations", "temporary buffers"};
  return kNames[static_cast<std::size_t>(category)];
}

std::vector<RankMemory> memory_of_ranks(const Simulation& s, bool reserved, Process process) {
  // In inference one thread issues all products, and its workspace is among the residents.
  const bool trains = s.plan.task == Task::kTraining;
  const Allocation allocation{trains ? Bytes(s.runtime.workspace.value / 2) : Bytes(0), process,
                              s.runtime.expandable_segments};
  std::vector<RankMemory> out;
  for (const RankProgram& rank : s.program.ranks)
    out.push_back(rank_memory(s.program, rank, reserved, allocation));
  return out;
}

void report_memory(Simulation& s, const std::vector<RankMemory>& ranks) {
  RunReport& r = s.report;
  int communicators = 0;
  for (int n : {s.plan.tensor, s.plan.context, s.plan.replicas(), s.plan.pipeline})
    communicators += n > 1;
  r.stages.clear();
  r.peak_memory = r.peak_reserved = r.memory_capacity = Bytes(0);
  const Bytes buffers = s.cluster.communicator_memory * communicators;
  Bytes least_left = s.cluster.gpu.usable_memory;
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const RankProgram& rank = s.program.ranks[i];
    const RankMemory& m = ranks[i];
    r.kv_cache_peak = max(r.kv_cache_peak, rank.cache);
    const Gpu& gpu = s.cluster.gpu_of_type(s.program.machines[rank.machine].gpu_type);
    const Bytes left = gpu.usable_memory - gpu.context_memory - buffers - m.reserved;
    if (r.memory_capacity.value == 0 || left < least_left) {  // the tightest rank's GPU is shown
      least_left = left;
      r.memory_capacity = gpu.usable_memory;
      r.memory_overhead = gpu.context_memory + buffers;
    }
    r.peak_memory = max(r.peak_memory, m.peak);
    r.peak_reserved = max(r.peak_reserved, m.reserved);
    // Ranks of one stage differ little; the stage shows its fullest.
    const auto at = std::find_if(r.stages.begin(), r.stages.end(), [&](const StageReport& t) {
      return t.pipeline_stage == rank.pipeline_rank;
    });
    if (at == r.stages.end())
      r.stages.push_back({rank.pipeline_rank, m.peak, m.reserved, m.at_peak});
    else if (m.peak > at->peak_memory)
      *at = {rank.pipeline_rank, m.peak, m.reserved, m.at_peak};
  }
  r.fits = least_left.value >= 0;
  if (r.fits) return;
  const auto fullest = std::max_element(
      r.stages.begin(), r.stages.end(),
      [](const StageReport& a, const StageReport& b) { return a.peak_memory < b.peak_memory; });
  r.memory_advice = memory_advice(s, *fullest);
}

}  // namespace rehearse
