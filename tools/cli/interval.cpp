#include "tools/cli/interval.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "tools/cli/kernel_totals.hpp"

namespace rehearse {
namespace {

constexpr double kNineOfTen = 1.645;  // deviations of a normal distribution on either side

// Relative standard deviations. Products and attention: the mean held-out errors of the fits in the
// GPU files (2 to 4 % where PyTorch's own kernels were measured, up to 6 % from other frameworks).
// Memory-bound kernels: residuals of calibration/fit_kernels.py. Communication: held-out NCCL times
// of one node, and that collectives beside kernels vary by a quarter (overlap_kernels.csv). Between
// nodes nothing is calibrated. Host times vary by 15 % from machine to machine, steps that the GPU
// bounds by 1.5 % (tests/data/measured).
struct Deviations {
  double measured, from_silicon, transferred;
};
constexpr Deviations kProducts{0.025, 0.05, 0.1};
constexpr Deviations kAttention{0.03, 0.06, 0.12};
constexpr Deviations kOthers{0.05, 0.12, 0.12};
constexpr double kInsideNode = 0.2, kBetweenNodes = 0.35, kBubble = 0.06, kHost = 0.2;
constexpr double kMachines = 0.015;

double of(const Deviations& d, std::string_view source) {
  if (source.find("transferred") != std::string_view::npos) return d.transferred;
  const bool own = source.find("calibration/results") != std::string_view::npos ||
                   source.find("measured on") != std::string_view::npos;
  return own ? d.measured : d.from_silicon;
}

double square(double x) { return x * x; }

// Variance of the kernels' part, in units of their own total.
double kernel_variance(const Simulation& s, const RankProgram& rank) {
  const Gpu& gpu = s.cluster.gpu_of_type(s.program.machines[rank.machine].gpu_type);
  double products = 0, attention = 0, others = 0, total = 0;
  for (const KernelTotal& k : kernel_totals(s, rank)) {
    const double time = k.time.value * static_cast<double>(k.count);
    const std::string source = price_kernel(gpu, k.work, Clocks::kSustained).source;
    total += time;
    if (std::holds_alternative<GemmWork>(k.work))
      products += time * of(kProducts, source);
    else if (std::holds_alternative<AttentionWork>(k.work))
      attention += time * of(kAttention, source);
    else
      others += time * of(kOthers, source);
  }
  if (total <= 0) return 0;
  return (square(products) + square(attention) + square(others)) / square(total);
}

}  // namespace

Interval step_interval(const Simulation& s) {
  const RunReport& r = s.report;
  if (s.cluster.gpu.ideal) return {r.step_time, r.step_time};
  const StepWindow window = step_window(s.lowered.graph, s.timeline, s.lowered.notes);
  const Breakdown& b = r.breakdown;
  const double kernels = (b.compute + b.optimizer).value;
  const double links = s.cluster.nodes > 1 ? kBetweenNodes : kInsideNode;
  const double variance = square(kernels) * kernel_variance(s, s.program.ranks[window.device]) +
                          square(b.exposed_communication.value * links) +
                          square(b.pipeline_bubble.value * kBubble) + square(b.host.value * kHost) +
                          square(r.step_time.value * kMachines);
  const double half = kNineOfTen * std::sqrt(variance);
  return {Seconds(std::max(0.0, r.step_time.value - half)), Seconds(r.step_time.value + half)};
}

}  // namespace rehearse
