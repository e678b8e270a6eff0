#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "strategies/priced_segment.hpp"
#include "strategies/program.hpp"

namespace rehearse {

// Where a rank's clocks stand: one a stream of StreamKind, of the collectives inside segments, and
// of the host.
enum ClockLane : std::uint8_t {
  kTensorLane = kStreamKinds,
  kContextLane,
  kExpertLane,
  kHostLane,
  kClockLanes
};

// A step of a pass, or a piece of one, as what it does to the clocks: what lower() makes tasks of.
// Host times are of issuing it, before it.
struct ClockOp;
using ClockCode = std::vector<ClockOp>;
struct ClockOp {
  enum class Kind : std::uint8_t {
    kRun,          // work on the compute stream that is gathered with what follows: `run`
    kKernel,       // `time` on `lane`
    kCollective,   // `time` on `lane` once `group` has met
    kInside,       // the same of a segment: after the compute stream, which then waits for it
    kOverlap,      // kInside, and meanwhile `beside` on the compute stream, issued in `beside_host`
    kSynchronize,  // the host waits for the compute stream
    kSend,         // `step` is a Send, and so on
    kReceive,
    kExchange,
    kRecord,
    kWait,
    kHostWait
  };
  Kind kind{};
  std::uint8_t lane = 0;
  GroupKind group{};
  EventId event = 0;
  std::int64_t host = 0, time = 0;
  std::int32_t collective = -1;  // of Prices::collectives
  Run run;
  const ClockCode* apart = nullptr;  // the run with each of its collectives apart
  Slowdowns slowdowns;               // of its kernels beside a collective, and of `beside`
  bool single = false;               // it is a task of its own, where that matters
  bool overlaps = false;             // work runs beside other work in it
  std::int64_t beside = 0, beside_host = 0;
  const Step* step = nullptr;
};

// Passes of a program as code, each once for a machine, and for ranks that meet others inside
// segments (`together`) apart from those that do not. Precondition: nothing interferes.
class ClockCodes {
 public:
  // `splits`: instead of that, segments with collectives are runs that can be taken apart, and
  // kernels outside segments are part of runs.
  ClockCodes(const Program& program, const Cluster& cluster, Prices& prices, bool splits = false)
      : program_(program), cluster_(cluster), prices_(prices), splits_(splits) {}
  const ClockCode& of(const StepList::Pass& pass, std::size_t machine, bool together);
  // Whether there are exchanges in what was asked for.
  bool exchanges() const { return exchanges_; }

 private:
  ClockCode translate(const StepList::Pass& pass, std::size_t machine, bool together);
  void translate_run(ClockCode& code, std::size_t machine, SegmentId segment, std::int64_t host,
                     bool together);
  void translate_segment(ClockCode& code, std::size_t machine, SegmentId segment,
                         std::int64_t host);

  const Program& program_;
  const Cluster& cluster_;
  Prices& prices_;
  bool splits_;
  bool exchanges_ = false;
  // Segments apart: by machine, segment, and host time before it.
  std::map<std::tuple<std::size_t, SegmentId, std::int64_t>, ClockCode> apart_;
  std::map<std::tuple<const StepList::Pass*, std::size_t, bool>, ClockCode> known_;
};

}  // namespace rehearse
