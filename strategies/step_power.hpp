#pragma once

#include <optional>
#include <vector>

#include "hardware/cluster.hpp"
#include "strategies/program.hpp"

namespace rehearse {

// What a GPU draws on average over a step: the time that the step's work would take at the
// datasheet's peaks, over the time that it takes, as shares of PowerModel. Segments are added up
// once and kept, so that programs may grow by segments (and change otherwise) between calls.
class PowerMeter {
 public:
  PowerMeter(const Program& program, const Cluster& cluster)
      : program_(program), cluster_(cluster) {}

  // Of a step of the program that takes so long; mean over all ranks. 0 where a GPU has no power
  // model.
  Watts average(Seconds step);

 private:
  // Time that work would take at the peaks of one type of GPU.
  struct PeakTimes {
    double compute = 0, memory = 0, link = 0;
    PeakTimes& add(const PeakTimes& o);
  };

  PeakTimes of(const RankProgram& rank, const Gpu& gpu);
  PeakTimes of(const Step& step, const Gpu& gpu);
  const PeakTimes& of_segment(SegmentId id, const Gpu& gpu);
  static PeakTimes of(const Kernel& kernel, const Gpu& gpu);
  PeakTimes of(const CollectiveWork& work) const;
  PeakTimes sent(double wire) const;

  const Program& program_;
  const Cluster& cluster_;
  // By type of GPU and segment.
  std::vector<std::vector<std::optional<PeakTimes>>> segments_;
  int type_ = 0;
};

}  // namespace rehearse
