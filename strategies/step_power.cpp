#include "strategies/step_power.hpp"

#include <cmath>

#include "hardware/collectives/algorithm.hpp"

namespace rehearse {
namespace {

double of_bytes(Bytes b) { return static_cast<double>(b.value); }

}  // namespace

PowerMeter::PeakTimes& PowerMeter::PeakTimes::add(const PeakTimes& o) {
  compute += o.compute;
  memory += o.memory;
  link += o.link;
  return *this;
}

Watts PowerMeter::average(Seconds step) {
  const auto types = cluster_.other_gpus.size() + 1;
  segments_.resize(types);
  double watts = 0, ranks = 0;
  for (const RankProgram& rank : program_.ranks) {
    type_ = program_.machines[rank.machine].gpu_type;
    segments_[static_cast<std::size_t>(type_)].resize(program_.segments.size());
    const Gpu& gpu = cluster_.gpu_of_type(type_);
    if (gpu.power.limit.value <= 0) return Watts(0);
    const PeakTimes t = of(rank, gpu);
    watts +=
        rank.represents *
        gpu.power.average(t.compute / step.value, t.memory / step.value, t.link / step.value).value;
    ranks += rank.represents;
  }
  return Watts(ranks > 0 ? watts / ranks : 0);
}

PowerMeter::PeakTimes PowerMeter::of(const RankProgram& rank, const Gpu& gpu) {
  std::vector<std::optional<PeakTimes>> passes(rank.steps.passes());
  PeakTimes sum;
  for (const StepList::Call& call : rank.steps.calls()) {
    auto& known = passes[call.pass];
    if (!known) {
      known.emplace();
      for (const Step& step : rank.steps.pass(call.pass)) known->add(of(step, gpu));
    }
    sum.add(*known);
  }
  return sum;
}

PowerMeter::PeakTimes PowerMeter::of(const Step& step, const Gpu& gpu) {
  if (const auto* run = std::get_if<RunSegment>(&step.work)) return of_segment(run->segment, gpu);
  if (const auto* run = std::get_if<RunKernel>(&step.work)) return of(run->kernel, gpu);
  if (const auto* run = std::get_if<RunCollective>(&step.work)) return of(run->work);
  if (const auto* send = std::get_if<Send>(&step.work)) return sent(of_bytes(send->bytes));
  return {};
}

const PowerMeter::PeakTimes& PowerMeter::of_segment(SegmentId id, const Gpu& gpu) {
  auto& known = segments_[static_cast<std::size_t>(type_)][id];
  if (known) return *known;
  known.emplace();
  for (const Instr& instr : program_.segments[id].instrs) {
    if (const auto* k = std::get_if<Kernel>(&instr.what)) known->add(of(*k, gpu));
    if (const auto* c = std::get_if<CollectiveWork>(&instr.what)) known->add(of(*c));
    if (const auto* o = std::get_if<Overlap>(&instr.what))
      known->add(of(o->kernel, gpu)).add(of(o->communication));
  }
  return *known;
}

PowerMeter::PeakTimes PowerMeter::of(const Kernel& kernel, const Gpu& gpu) {
  PeakTimes t;
  t.memory = (bytes(kernel.work) / gpu.memory_bandwidth).value;
  const auto* gemm = std::get_if<GemmWork>(&kernel.work);
  const auto* attention = std::get_if<AttentionWork>(&kernel.work);
  if (gemm || attention)
    t.compute = (flops(kernel.work) / gpu.peak_of(gemm ? gemm->dtype : attention->dtype)).value;
  return t;
}

PowerMeter::PeakTimes PowerMeter::of(const CollectiveWork& work) const {
  const int ranks = program_.groups[static_cast<int>(work.group)].ranks;
  return sent(ranks > 1 ? wire_bytes(work.op, of_bytes(work.bytes), ranks) : 0);
}

PowerMeter::PeakTimes PowerMeter::sent(double wire) const {
  const double rate = cluster_.intra_node.bandwidth.value;
  PeakTimes t;
  t.link = rate > 0 && std::isfinite(rate) ? wire / rate : 0;
  return t;
}

}  // namespace rehearse
