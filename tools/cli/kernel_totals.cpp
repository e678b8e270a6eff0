#include "tools/cli/kernel_totals.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace rehearse {
namespace {

// Kernels by operator, name, FLOPs and bytes.
class Totals {
 public:
  Totals(const Program& program, const Gpu& gpu) : program_(program), gpu_(gpu) {}

  void add(const Kernel& kernel, std::uint32_t label, std::int64_t count) {
    const Key key(label, kernel.name, flops(kernel.work).value, bytes(kernel.work).value);
    const auto [known, added] = index_.try_emplace(key, totals_.size());
    if (added)
      totals_.push_back({program_.names[label], program_.names[kernel.name], kernel.work, 0,
                         kernel_time(gpu_, kernel.work, Clocks::kSustained)});
    totals_[known->second].count += count;
  }

  std::vector<KernelTotal> longest_first() && {
    const auto total = [](const KernelTotal& k) {
      return k.time.value * static_cast<double>(k.count);
    };
    std::stable_sort(totals_.begin(), totals_.end(),
                     [&](const auto& a, const auto& b) { return total(a) > total(b); });
    return std::move(totals_);
  }

 private:
  using Key = std::tuple<std::uint32_t, std::uint32_t, double, std::int64_t>;
  const Program& program_;
  const Gpu& gpu_;
  std::map<Key, std::size_t> index_;
  std::vector<KernelTotal> totals_;
};

}  // namespace

std::vector<KernelTotal> kernel_totals(const Simulation& s, const RankProgram& rank) {
  Totals totals(s.program, s.cluster.gpu_of_type(s.program.machines[rank.machine].gpu_type));
  std::map<SegmentId, std::int64_t> calls;
  for (const Step& step : rank.steps) {
    if (const auto* run = std::get_if<RunSegment>(&step.work)) ++calls[run->segment];
    if (const auto* run = std::get_if<RunKernel>(&step.work))
      totals.add(run->kernel, run->label, 1);
  }
  for (const auto& [segment, count] : calls)
    for (const Instr& i : s.program.segments[segment].instrs) {
      if (const auto* kernel = std::get_if<Kernel>(&i.what)) totals.add(*kernel, i.label, count);
      if (const auto* both = std::get_if<Overlap>(&i.what))
        totals.add(both->kernel, i.label, count);
    }
  return std::move(totals).longest_first();
}

}  // namespace rehearse
