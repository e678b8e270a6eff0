#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <tuple>
#include <utility>
#include <vector>

#include "hardware/cluster.hpp"
#include "hardware/link_capacity.hpp"
#include "sim/engine/annotations.hpp"
#include "strategies/program.hpp"

namespace rehearse {

// The max-plus map of a run of work on one stream: see lower.hpp. Picoseconds.
struct Run {
  std::int64_t duration = 0;  // D
  std::int64_t host = 0;      // T: host time of issuing it all
  std::int64_t latest = 0;    // E
  // Earliest start after the host began.
  std::int64_t lag() const { return latest > duration ? latest - duration : 0; }
  // This run, then another.
  Run then(const Run& next) const {
    return {duration + next.duration, host + next.host,
            std::max(latest + next.duration, host + next.latest)};
  }
};

// A segment with its times: one entry an instruction that runs on the device.
struct PricedInstr {
  std::uint32_t instr = 0;  // of Segment::instrs
  std::int64_t duration = 0;
  std::int64_t host = 0;         // host time before it, with that of memory changes before it
  std::int32_t collective = -1;  // of Prices::collectives
  // Of an Overlap: its two durations, and the host time between them.
  std::int64_t communication = 0, kernel = 0, kernel_host = 0;
  bool synchronizes = false;  // the host waits for the stream
};

struct PricedSegment {
  Run run;
  // While a collective runs beside it: the mean over its kernels, by time. One number for all of
  // them, so that the segment as one task ends when its kernels one by one would.
  Slowdowns beside;
  std::int64_t trailing_host = 0;
  std::vector<PricedInstr> instrs;
  SegmentShare share;
  bool synchronizes = false;  // then `run` says nothing about the host: it is not merged
};

// Prices of everything in a program, each distinct piece of work once. The program may go on
// growing, and its groups may change.
class Prices {
 public:
  Prices(const Program& program, const Cluster& cluster, Clocks clocks);

  // `machine`: of Program::machines.
  const PricedSegment& segment(std::size_t machine, SegmentId id) const {
    return segments_[machine][id];
  }
  std::int64_t kernel(std::size_t machine, const KernelWork& work) const;
  // In steps of a fiftieth.
  Slowdowns beside_collective(std::size_t machine, const KernelWork& work) const;
  // Prices the segments that the program has by now, and drops prices of groups that have changed.
  void update();
  // Index into collectives() and time.
  std::pair<std::int32_t, std::int64_t> collective(std::size_t machine, const CollectiveWork& work);
  const std::vector<CollectiveInfo>& collectives() const { return collectives_; }
  // What a member takes of links while the collective goes at full speed; by index.
  const TierRates& rates(std::int32_t collective) const {
    return rates_[static_cast<std::size_t>(collective)];
  }
  std::int64_t launch_latency() const { return launch_latency_; }

 private:
  PricedSegment price(std::size_t machine, const Segment& segment);
  std::int64_t check_wait(const Instr& instr) const;
  std::pair<std::int64_t, std::int64_t> side_by_side(std::int64_t kernel, Slowdowns slow,
                                                     std::int64_t communication) const;

  const Program& program_;
  const Cluster& cluster_;
  Clocks clocks_;
  std::int64_t launch_latency_ = 0;
  std::vector<std::deque<PricedSegment>> segments_;  // by machine
  std::vector<CollectiveInfo> collectives_;
  std::vector<TierRates> rates_;
  struct Known {
    CollectiveOp op;
    GroupKind group;
    Bytes bytes;
    LinkShare links;
    std::int32_t index;
    std::int64_t time;
    bool operator<(const Known& o) const {
      return std::tie(group, op, bytes, links.intra_node, links.inter_node) <
             std::tie(o.group, o.op, o.bytes, o.links.intra_node, o.links.inter_node);
    }
  };
  std::vector<Known> known_;                   // sorted
  std::array<CommGroup, kGroupKinds> groups_;  // that the prices are of
};

}  // namespace rehearse
