#include "tools/cli/interval.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "tools/cli/evidence.hpp"
#include "tools/cli/kernel_totals.hpp"

namespace rehearse {
namespace {

constexpr double kNineOfTen = 1.645;  // deviations of a normal distribution on either side

// Relative standard deviations of a class of work, by what its price rests on, and what every
// octave adds by which a size lies outside of what was measured.
//
// Products and attention: the mean held-out errors of the fits in the GPU files (2 to 4 % where
// PyTorch's own kernels were measured, up to 6 % from other frameworks). Kernels that memory or
// issue bounds: residuals of calibration/fit_kernels.py and fit_shapes.py. An octave: what the
// efficiency of H200's products, attention and norms changes from one size to its double at the
// edge of what was measured, root mean squares (calibration/results/h200-sxm).
struct Deviations {
  double calibrated, elsewhere, transferred, octave;
};
constexpr Deviations kProducts{0.025, 0.05, 0.1, 0.055};
constexpr Deviations kAttention{0.03, 0.06, 0.12, 0.12};
constexpr Deviations kOthers{0.05, 0.12, 0.12, 0.05};
// Communication: held-out NCCL times of one node, and that collectives beside kernels vary by a
// quarter (overlap_kernels.csv). What an octave of ranks beyond those measured adds is a choice, as
// is what nodes add: nothing of either is calibrated. Host times vary by 15 % from machine to
// machine, steps that the GPU bounds by 1.5 % (tests/data/measured).
constexpr double kInsideNode = 0.2, kBetweenNodes = 0.35, kRankOctave = 0.1;
constexpr double kBubble = 0.06, kHost = 0.2, kMachines = 0.015;
constexpr double kMeasuredRanks = 8;
// A processor whose core others use takes about twice as long, for milliseconds or for minutes: one
// in twenty decode steps took more than this much of the median (calibration/results/h200-sxm,
// hosts/first/decode_spread.csv), though the program and the machine were the same.
constexpr double kSlowHost = 1.8;

double square(double x) { return x * x; }

double of(const Deviations& d, const Evidence& e) {
  const double base = e.basis == Evidence::Basis::kCalibrated  ? d.calibrated
                      : e.basis == Evidence::Basis::kElsewhere ? d.elsewhere
                                                               : d.transferred;
  return std::hypot(base, d.octave * e.octaves);
}

// Variance of the kernels' part, in units of their own total.
double kernel_variance(const Simulation& s, const RankProgram& rank) {
  const Gpu& gpu = s.cluster.gpu_of_type(s.program.machines[rank.machine].gpu_type);
  double products = 0, attention = 0, others = 0, total = 0;
  for (const KernelTotal& k : kernel_totals(s, rank)) {
    const double time = k.time.value * static_cast<double>(k.count);
    const Evidence e = evidence_of(gpu, k.work);
    total += time;
    if (std::holds_alternative<GemmWork>(k.work))
      products += time * of(kProducts, e);
    else if (std::holds_alternative<AttentionWork>(k.work))
      attention += time * of(kAttention, e);
    else
      others += time * of(kOthers, e);
  }
  if (total <= 0) return 0;
  return (square(products) + square(attention) + square(others)) / square(total);
}

// Of the time of communication, by where its links are and how many ranks take part.
double communication_deviation(const Simulation& s) {
  double octaves = 0;
  for (const int n : {s.plan.tensor, s.plan.context, s.plan.replicas(), s.plan.pipeline})
    octaves = std::max(octaves, std::log2(std::max<double>(n, 1) / kMeasuredRanks));
  return std::hypot(s.cluster.nodes > 1 ? kBetweenNodes : kInsideNode, kRankOctave * octaves);
}

// Of issuing a rank's step.
Seconds issuing(const Simulation& s, const RankProgram& rank) {
  std::map<SegmentId, Seconds> segments;
  const auto of_segment = [&](SegmentId id) {
    const auto [known, added] = segments.try_emplace(id, Seconds(0));
    if (added)
      for (const Instr& i : s.program.segments[id].instrs) {
        known->second += i.host;
        if (const auto* o = std::get_if<Overlap>(&i.what)) known->second += o->kernel_host;
      }
    return known->second;
  };
  Seconds sum(0);
  for (const Step& step : rank.steps) {
    sum += step.host;
    if (const auto* run = std::get_if<RunSegment>(&step.work)) sum += of_segment(run->segment);
  }
  return sum / s.cluster.host.speed;
}

}  // namespace

Interval step_interval(const Simulation& s) {
  const RunReport& r = s.report;
  if (s.cluster.gpu.ideal) return {r.step_time, r.step_time};
  const StepWindow window = step_window(s.lowered.graph, s.timeline, s.lowered.notes);
  const Breakdown& b = r.breakdown;
  const double kernels = (b.compute + b.optimizer).value;
  const double links = communication_deviation(s);
  const double variance = square(kernels) * kernel_variance(s, s.program.ranks[window.device]) +
                          square(b.exposed_communication.value * links) +
                          square(b.pipeline_bubble.value * kBubble) + square(b.host.value * kHost) +
                          square(r.step_time.value * kMachines);
  const double half = kNineOfTen * std::sqrt(variance);
  const double slow = kSlowHost * issuing(s, s.program.ranks[window.device]).value;
  return {Seconds(std::max(0.0, r.step_time.value - half)),
          Seconds(std::max(r.step_time.value + half, slow))};
}

}  // namespace rehearse
