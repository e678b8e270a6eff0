#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "strategies/priced_segment.hpp"
#include "strategies/program.hpp"

namespace rehearse {

// Priced instructions [begin, end) of a segment.
struct RunPart {
  SegmentId segment = 0;
  std::uint32_t begin = 0, end = 0;
  bool operator<(const RunPart& o) const {
    return std::tie(segment, begin, end) < std::tie(o.segment, o.begin, o.end);
  }
};

// A step as the walk over the ranks takes it: with its host time in picoseconds, and, where
// segments that follow each other may be merged, one for all of them.
struct DigestedStep {
  const Step* step = nullptr;  // the first of them
  std::int64_t host = 0;
  bool merged = false;
  Run run;  // of merged segments, the host time of their steps included
  Slowdowns beside;
  std::vector<RunPart> parts;
};
using PassDigest = std::vector<DigestedStep>;

// What decides whether segments may be merged, beside their own contents.
struct MergeRules {
  bool merge = true;        // at all; then memory, which takes no time, is left out too
  bool interferes = false;  // a segment with communication inside has no fixed duration
};

// Passes of a program, digested once for each machine, and for ranks that meet others inside
// segments (`together`: those are never merged) apart from those that do not.
class PassDigests {
 public:
  PassDigests(const Cluster& cluster, const Prices& prices, const MergeRules& rules)
      : cluster_(cluster), prices_(prices), rules_(rules) {}
  const PassDigest& of(const StepList::Pass& pass, std::size_t machine, bool together);

 private:
  PassDigest digest(const StepList::Pass& pass, std::size_t machine, bool together) const;
  bool merges(const PricedSegment& segment, bool together) const;

  const Cluster& cluster_;
  const Prices& prices_;
  MergeRules rules_;
  std::map<std::tuple<const StepList::Pass*, std::size_t, bool>, PassDigest> known_;
};

}  // namespace rehearse
