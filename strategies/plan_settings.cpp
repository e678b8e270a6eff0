#include <fmt/format.h>

#include "strategies/context/context_parallel.hpp"
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

std::string offload_text(const Offload& o) {
  std::string out;
  const auto add = [&](bool on, const char* what) {
    if (on) out += (out.empty() ? "" : ", ") + std::string(what);
  };
  add(o.optimizer, "optimizer");
  add(o.parameters, "parameters");
  add(o.activations, "activations");
  return out.empty() ? "nothing" : out;
}

std::string plan_text(const ResolvedPlan& p) {
  std::string out;
  const auto add = [&](const std::string& text) { out += (out.empty() ? "" : " ") + text; };
  if (p.data > 1 || p.ranks() == 1) add(fmt::format("dp {}", p.data));
  if (p.tensor > 1) add(fmt::format("tp {}{}", p.tensor, p.plan.sequence_parallel ? " sp" : ""));
  if (p.context > 1)
    add(fmt::format("cp {} {}", p.context,
                    find_context_method(p.plan.context_parallel_method).name));
  if (p.pipeline > 1) {
    add(fmt::format("pp {} {}", p.pipeline, p.schedule->name));
    if (p.chunks > 1) add(fmt::format("v {}", p.chunks));
  }
  if (p.expert > 1) add(fmt::format("ep {}", p.expert));
  if (p.expert_tensor != p.tensor && p.expert > 1) add(fmt::format("etp {}", p.expert_tensor));
  if (p.plan.zero_stage > 0) add(fmt::format("zero {}", p.plan.zero_stage));
  if (p.plan.offload.any()) add("offload " + offload_text(p.plan.offload));
  if (p.training.recompute != Recompute::kNone)
    add(fmt::format("recompute {}", kRecomputeNames[static_cast<int>(p.training.recompute)]));
  return out;
}

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
