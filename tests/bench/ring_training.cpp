#include "tests/bench/ring_training.hpp"

#include <numeric>

namespace rehearse::bench {
namespace {

constexpr double kBytesPerSecond = 1e12;  // of the GPU's memory: a byte is a picosecond

Instr compute(double milliseconds, Activity activity) {
  Instr i;
  MemoryWork work;
  work.kernel_class = "compute";
  work.read = Bytes(static_cast<std::int64_t>(milliseconds * 1e-3 * kBytesPerSecond));
  i.what = Kernel{work, 0};
  i.activity = activity;
  return i;
}

Instr all_reduce(Bytes bytes) {
  Instr i;
  i.what = CollectiveWork{CollectiveOp::kAllReduce, GroupKind::kTensor, bytes};
  i.activity = Activity::kCollective;
  return i;
}

// Two halves of a layer, each with a collective after it.
Segment half_and_half(const char* name, double milliseconds, Activity activity) {
  constexpr Bytes kActivations(50'000'000);
  Segment s;
  s.name = name;
  for (int half = 0; half < 2; ++half) {
    s.instrs.push_back(compute(milliseconds, activity));
    s.instrs.push_back(all_reduce(kActivations));
  }
  return s;
}

Step run(SegmentId segment) {
  Step s;
  s.work = RunSegment{segment, 0};
  s.micro_batch = 0;
  return s;
}

}  // namespace

Cluster ring_cluster(const RingTraining& t) {
  Cluster c;
  c.name = "ring";
  c.gpu.name = "gpu";
  c.gpu.memory_bandwidth = BytesPerSecond(kBytesPerSecond);
  c.gpu.ideal = true;
  c.gpus_per_node = t.ranks;
  c.intra_node = {"nvlink", BytesPerSecond(50e9), Seconds(500e-9)};
  c.collectives.algorithm = "ring";
  c.collectives.ideal = true;
  return c;
}

Program ring_program(const RingTraining& t) {
  constexpr Bytes kGradients(453'000'000);
  Program p;
  p.positions = t.layers;
  p.segments.push_back(half_and_half("forward", t.compute_ms, Activity::kForward));
  p.segments.push_back(half_and_half("backward", 2 * t.compute_ms, Activity::kBackward));
  p.segments.emplace_back();
  p.segments.back().name = "gradients";
  p.segments.back().instrs.push_back(all_reduce(kGradients));
  RankProgram rank;
  rank.steps = StepList(p.positions);
  for (SegmentId segment = 0; segment < p.segments.size(); ++segment) {
    const std::uint32_t pass = rank.steps.begin_pass(0);
    rank.steps.push_back(run(segment));
    for (int layer = 1; layer < t.layers; ++layer) rank.steps.call(pass, 0);
  }
  const int simulated = t.fold ? 1 : t.ranks;
  std::vector<std::int32_t> all(static_cast<std::size_t>(simulated));
  std::iota(all.begin(), all.end(), 0);
  for (int r = 0; r < simulated; ++r) {
    RankProgram copy = rank;
    copy.rank = r;
    copy.represents = t.ranks / simulated;
    copy.groups.assign(kGroupKinds, {r});
    copy.groups[static_cast<std::size_t>(GroupKind::kTensor)] = all;
    p.ranks.push_back(std::move(copy));
  }
  p.groups[static_cast<std::size_t>(GroupKind::kTensor)] = {t.ranks, 1, t.ranks, 1};
  return p;
}

}  // namespace rehearse::bench
