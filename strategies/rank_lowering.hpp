#pragma once

#include <array>
#include <map>
#include <optional>
#include <tuple>
#include <vector>

#include "strategies/lower.hpp"
#include "strategies/priced_segment.hpp"

namespace rehearse {

inline constexpr TaskId kNoTask = static_cast<TaskId>(-1);

class RankLowering;

// What the ranks of one lowering share: the graph, its notes, and where they meet.
class LoweringState {
 public:
  LoweringState(const Program& program, const Cluster& cluster, const LowerOptions& options,
                Prices& prices);

  TaskId add(StreamId stream, std::int64_t duration, const TaskInfo& info);
  void edge(TaskId from, TaskId to) {
    if (from != kNoTask) builder.add_edge(from, to);
  }
  std::int32_t share_of(const std::vector<SegmentId>& segments);
  std::uint32_t intern(const std::string& name);
  Lowered finish();

  const Program& program;
  const Cluster& cluster;
  const LowerOptions& options;
  Prices& prices;
  TaskGraphBuilder builder;
  Annotations notes;

  // A collective that waits for its members: (kind, first member, count of that kind, step).
  struct Meeting {
    std::vector<TaskId> arrivals;
    std::vector<TaskId> done;  // by member, once all have arrived
  };
  std::map<std::tuple<int, std::int32_t, std::uint32_t, int>, Meeting> meetings;
  // Messages under way: (from, to, tag, step) -> transfer task and its flow number.
  std::map<std::tuple<std::int32_t, std::int32_t, std::uint32_t, int>,
           std::pair<TaskId, std::uint32_t>>
      messages;
  std::uint32_t flows = 0;

 private:
  std::map<std::vector<SegmentId>, std::int32_t> shares_;
  std::map<std::string, std::uint32_t> names_;
};

// One rank's walk through its steps.
class RankLowering {
 public:
  RankLowering(LoweringState& state, std::uint32_t index);
  // Goes on until it is done or waits for another rank. True when it got anywhere.
  bool advance();
  bool finished() const { return step_ == state_.options.steps; }

 private:
  // Streams of a rank: StreamKind's, and those of the collectives of segments and the host.
  enum Lane : std::size_t { kTensorLane = kStreamKinds, kContextLane, kHostLane, kLanes };
  struct LaneState {
    StreamId stream = kNoStream;
    TaskId last = kNoTask;
    std::vector<TaskId> waits;  // for the next task
  };
  struct Event {
    std::vector<TaskId> tasks;
  };

  bool execute(const Step& step);
  // What issuing a step costs this cluster's host, in picoseconds.
  std::int64_t host_of(const Step& step) const;
  bool run_segment(const Step& step, const RunSegment& run);
  bool run_instr(const Step& step, const RunSegment& run);
  bool run_inside(const CollectiveWork& work, const PricedInstr& p, const Instr& instr,
                  std::int64_t extra);
  void place_kernel(const Kernel& k, std::int64_t duration, const Instr& instr, TaskId after);
  bool run_collective(std::size_t lane, const CollectiveWork& work, const TaskInfo& info, int kind);
  void run_kernel(const RunKernel& k);
  void send(const Send& s);
  bool receive(const Receive& r);
  void flush();
  void remember(const MemoryChange& change);

  std::size_t lane(StreamKind s) const { return static_cast<std::size_t>(s); }
  // Of a group whose ranks meet inside segments.
  static std::size_t lane_of(GroupKind g) {
    return g == GroupKind::kContext ? kContextLane : kTensorLane;
  }
  StreamId stream(std::size_t lane);
  // A task on a lane after everything it waits for.
  TaskId place(std::size_t lane, std::int64_t duration, const TaskInfo& info,
               TaskId after = kNoTask);
  Event mark(std::size_t lane);
  void wait_for(std::size_t lane, const Event& e);
  // Host time, then what was issued may start after the returned task (kNoTask: at once).
  TaskId issue(std::int64_t host, std::int64_t lag_from_begin);
  TaskId issue(std::int64_t host) { return issue(host, host + state_.prices.launch_latency()); }
  TaskInfo info(Activity activity, std::uint32_t name, std::uint32_t label) const;

  LoweringState& state_;
  std::uint32_t index_;
  const RankProgram& rank_;
  int step_ = 0;
  std::size_t at_ = 0;      // next of rank_.steps
  std::size_t instr_ = 0;   // next of the segment's priced instructions
  std::size_t memory_ = 0;  // next of its instructions whose memory has been noted
  bool arrived_ = false;    // at the meeting of the current step
  std::array<LaneState, kLanes> lanes_;
  std::vector<Event> events_;
  std::array<std::uint32_t, kGroupKinds> met_{};
  TaskId host_last_ = kNoTask;
  std::vector<SegmentId> run_;  // segments gathered into the next task
  Run gathered_;
  std::int32_t run_micro_batch_ = -1, run_chunk_ = -1;
  std::vector<MemoryEvent> allocations_;  // drawn at the next task
  TaskId newest_ = kNoTask;
};

}  // namespace rehearse
