#include <fmt/format.h>

#include "strategies/plan.hpp"

namespace rehearse {

namespace {

std::string fine_tuning_text(const FineTuning& f) {
  switch (f.kind) {
    case FineTuning::Kind::kNone:
      return "everything";
    case FineTuning::Kind::kLora:
      return fmt::format("LoRA {} on {}", f.rank, fmt::join(f.targets, ", "));
    case FineTuning::Kind::kAdapter:
      return fmt::format("adapters {}", f.rank);
    case FineTuning::Kind::kLayers:
      return fmt::format("{} of the layers", f.layers.size());
  }
  return "";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> plan_settings(const ResolvedPlan& p) {
  std::vector<std::pair<std::string, std::string>> out;
  const auto add = [&](const char* name, const auto& value) {
    out.emplace_back(name, fmt::format("{}", value));
  };
  add("DP", p.data);
  add("TP", p.tensor);
  add("sequence parallel", p.tensor > 1 && p.plan.sequence_parallel ? "on" : "off");
  add("CP", p.context);
  add("PP", p.pipeline);
  add("schedule", p.pipeline > 1 ? p.schedule->name : "none");
  add("chunks a rank", p.chunks);
  add("ZeRO", p.plan.zero_stage);
  add("micro-batch", p.training.micro_batch_size);
  add("global batch", p.training.global_batch_size);
  add("sequence", p.training.sequence_length);
  add("recompute", kRecomputeNames[static_cast<int>(p.training.recompute)]);
  add("offload", offload_text(p.plan.offload));
  add("trained", fine_tuning_text(p.training.fine_tuning));
  add("precision", p.training.precision.name);
  return out;
}

}  // namespace rehearse
