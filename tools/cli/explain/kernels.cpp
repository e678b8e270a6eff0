#include "tools/cli/explain/kernels.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "sim/base/format.hpp"
#include "tools/cli/kernel_totals.hpp"

namespace rehearse {
namespace {

const RankProgram& slowest(const Simulation& s) {
  return s.program.ranks[step_window(s.lowered.graph, s.timeline, s.lowered.notes).device];
}

const char* bound_name(Bound b) {
  switch (b) {
    case Bound::kCompute:
      return "compute";
    case Bound::kMemory:
      return "memory";
    case Bound::kIssue:
      return "issue";
    case Bound::kFixed:
      break;
  }
  return "fixed";
}

}  // namespace

int slowest_rank(const Simulation& s) { return slowest(s).rank; }

std::vector<std::string> operator_names(const Simulation& s) {
  std::vector<std::string> out;
  for (const KernelTotal& k : kernel_totals(s, slowest(s)))
    if (!k.label.empty() && std::find(out.begin(), out.end(), k.label) == out.end())
      out.push_back(k.label);
  return out;
}

std::string kernel_table(const Simulation& s, const std::string& label, std::size_t most) {
  const RankProgram& rank = slowest(s);
  const Gpu& gpu = s.cluster.gpu_of_type(s.program.machines[rank.machine].gpu_type);
  std::vector<KernelTotal> kernels = kernel_totals(s, rank);
  if (!label.empty()) std::erase_if(kernels, [&](const auto& k) { return k.label != label; });
  std::string out =
      fmt::format("  {:<20}{:>6} {:>11} {:>11} {:>10} {:>10} {:>8} {:>6}  {}\n", "operator",
                  "times", "each", "a step", "FLOPs", "bytes", "bound", "eff.", "kernel");
  std::set<std::string> sources;
  std::size_t shown = 0;
  for (const KernelTotal& k : kernels) {
    if (shown++ == most) break;
    const KernelPrice p = price_kernel(gpu, k.work, Clocks::kSustained);
    out += fmt::format("  {:<20}{:>6} {:>11} {:>11} {:>10.3g} {:>10} {:>8} {:>6.3f}  {}\n", k.label,
                       k.count, format_seconds(k.time),
                       format_seconds(k.time * static_cast<double>(k.count)), p.flops.value,
                       format_bytes(p.bytes), bound_name(p.bound), p.efficiency, k.name);
    sources.insert(fmt::format("{}: {}", bound_name(p.bound), p.source));
  }
  if (kernels.size() > most) out += fmt::format("  and {} more\n", kernels.size() - most);
  out +=
      fmt::format("efficiency is of {} ({}, dense) or of {} (datasheet); measured:\n",
                  format_rate(gpu.peak_of(s.plan.training.precision.matmul)),
                  to_string(s.plan.training.precision.matmul), format_rate(gpu.memory_bandwidth));
  for (const std::string& source : sources) out += "  " + source + "\n";
  return out;
}

}  // namespace rehearse
