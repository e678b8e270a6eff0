#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "strategies/lowering_sinks.hpp"
#include "strategies/pass_digest.hpp"
#include "strategies/variation.hpp"

namespace rehearse {

inline constexpr TaskId kNoTask = static_cast<TaskId>(-1);

// What the ranks of one walk share: the sink, the prices, and where they meet.
template <class Sink>
class LoweringState {
 public:
  using Task = typename Sink::Task;
  using Ready = typename Sink::Ready;

  LoweringState(const Program& p, const Cluster& c, const LowerOptions& o, Prices& pr);

  const Program& program;
  const Cluster& cluster;
  const LowerOptions& options;
  Prices& prices;
  PassDigests digests;
  Sink sink;

  // A collective of a group whose ranks are apart: all arrive before any goes on, so two of a group
  // are open at most, one that some have still to leave and the next.
  struct Meeting {
    std::uint32_t number = 0;  // of the group's meetings; from 1
    std::size_t arrived = 0;
    Ready arrivals{};
    Task done = Sink::kNone;
  };
  Meeting& meeting(std::size_t kind, std::int32_t first_member, std::uint32_t number);

  // Messages under way to each rank.
  struct Message {
    std::int32_t from = 0;
    std::uint32_t tag = 0;
    int step = 0;
    std::uint32_t flow = 0;
    Task transfer = Sink::kNone;
  };
  std::vector<std::vector<Message>> messages;
  std::uint32_t flows = 0;

  // Exchanges from one rank to another: receives whose kernel is there (with its start), slots that
  // have been sent, and how many had been received after each receive.
  struct Connection {
    std::vector<Message> awaited;
    std::int64_t sent = 0;
    std::vector<std::pair<std::int64_t, Task>> received;
  };
  Connection& connection(std::int32_t from, std::int32_t to) { return connections_[{from, to}]; }

  // Of Annotations::names.
  struct Names {
    std::uint32_t issue = 0, synchronize = 0, send = 0, receive = 0, exchange = 0;
    std::array<std::uint32_t, kCollectiveOps> collective{};
  };
  Names names;
  // By machine and segment; empty where nothing varies.
  std::vector<std::vector<SegmentIntervals>> intervals;

 private:
  std::vector<std::array<Meeting, 2>> meetings_;  // by kind and first member
  std::map<std::pair<std::int32_t, std::int32_t>, Connection> connections_;
};

// One rank's walk through its steps.
template <class Sink>
class RankLowering {
 public:
  RankLowering(LoweringState<Sink>& state, std::uint32_t index);
  // Goes on until it is done or waits for another rank. True when it got anywhere.
  bool advance();
  bool finished() const { return step_ == state_.options.steps; }

 private:
  using Task = typename Sink::Task;
  using Ready = typename Sink::Ready;
  static constexpr Task kNone = Sink::kNone;

  // Streams of a rank: StreamKind's, and those of the collectives of segments and the host.
  enum Lane : std::size_t {
    kTensorLane = kStreamKinds,
    kContextLane,
    kExpertLane,
    kHostLane,
    kLanes
  };
  struct LaneState {
    StreamId stream = kNoStream;
    Task last = kNone;
    Ready waits{};  // for the next task
  };
  struct Route {  // to or from a peer
    std::int32_t peer = 0;
    Bytes bytes{0};
    std::int64_t occupied = 0, latency = 0;
  };
  struct Visitor;

  bool execute(const DigestedStep& step);
  void gather(const DigestedStep& step);
  bool run_segment(const Step& step, const RunSegment& run);
  void begin_run(const Step& step, const Slowdowns& beside);
  // What a segment's kernels take over their average this time.
  std::int64_t varied(SegmentId segment);
  // The same of one kernel that takes `ps` on average, an instruction of a segment or on its own.
  std::int64_t varied_kernel(SegmentId segment, std::size_t instr, std::int64_t ps);
  std::int64_t varied_kernel(std::int64_t ps);
  void add_part(SegmentId segment);
  bool run_inside(const CollectiveWork& work, std::int64_t duration, const PricedInstr& p,
                  const Instr& instr, std::int64_t extra);
  void synchronize(const Ready& after);
  void place_kernel(const Kernel& k, std::int64_t duration, const Instr& instr, Task after,
                    const Slowdowns& beside);
  template <class Info>
  bool run_collective(std::size_t lane, GroupKind group, std::int64_t duration, const Info& info);
  bool run_collective(const RunCollective& c);
  void run_kernel(const RunKernel& k);
  void send(const Send& s);
  bool receive(const Receive& r);
  bool exchange(const Exchange& x);
  bool exchange_send(const Exchange::Half& h);
  bool exchange_receive(const Exchange::Half& h);
  // The receive that lets a send start, once it has been walked; kNone: it need not wait.
  std::optional<Task> room_for(const Exchange::Half& h, std::int64_t slots);
  std::int64_t slots_of(Bytes bytes) const;
  TaskInfo message_info(Activity activity, Bytes bytes, std::uint32_t flow);
  std::optional<typename LoweringState<Sink>::Message> take_message(std::int32_t from,
                                                                    std::uint32_t tag);
  void flush();
  void remember(const MemoryChange& change);

  static constexpr std::size_t lane(StreamKind s) { return static_cast<std::size_t>(s); }
  // Of a group whose ranks meet inside segments.
  static std::size_t lane_of(GroupKind g) {
    return g == GroupKind::kContext  ? kContextLane
           : g == GroupKind::kExpert ? kExpertLane
                                     : kTensorLane;
  }
  const std::vector<std::int32_t>& members(GroupKind g) const {
    return rank_.groups[static_cast<std::size_t>(g)];
  }
  std::int32_t peer(std::int32_t pipeline_rank) const {
    return members(GroupKind::kPipeline)[static_cast<std::size_t>(pipeline_rank)];
  }
  const LinkShare& links_of(const RankProgram& rank) const;  // of its messages
  const Route& route(std::int32_t peer, Bytes bytes, bool outward);
  std::uint32_t tag(std::uint32_t of_pass) const {
    return of_pass + static_cast<std::uint32_t>(micro_batch_);
  }
  StreamId stream(std::size_t lane);
  // A task on a lane after everything it waits for.
  template <class Info>
  Task place(std::size_t lane, std::int64_t duration, const Info& info, Task after = kNone,
             const Slowdowns* beside = nullptr);
  template <class Info>
  Task delay(std::int64_t duration, const Info& info, const Ready& ready, Task after);
  Ready mark(std::size_t lane) const;
  void wait_for(std::size_t l, const Ready& e) {
    Sink::include(lanes_[l].waits, e, lanes_[l].last);
  }
  void wait_for_task(std::size_t l, Task t) {
    Ready one{};
    Sink::include(one, t);
    wait_for(l, one);
  }
  // Host time, then what was issued may start after the returned task (kNone: at once).
  Task issue(std::int64_t host, std::int64_t lag_from_begin);
  Task issue(std::int64_t host) { return issue(host, host + state_.prices.launch_latency()); }
  TaskInfo info(Activity activity, std::uint32_t name, std::uint32_t label) const;

  LoweringState<Sink>& state_;
  std::uint32_t index_;
  const RankProgram& rank_;
  int step_ = 0;
  std::vector<const PassDigest*> digests_;  // by pass
  bool varies_ = false;
  std::size_t call_ = 0;  // next of the rank's calls
  std::size_t at_ = 0;    // next of its pass
  const DigestedStep* now_ = nullptr;
  std::int32_t micro_batch_ = 0;  // of the call
  std::size_t instr_ = 0;         // next of the segment's priced instructions
  std::size_t memory_ = 0;        // next of its instructions whose memory has been noted
  bool arrived_ = false;          // at the meeting of the current step
  std::size_t half_ = 0;          // next of the exchange's messages
  Task arrival_ = kNone;          // of the exchange's kernel
  Ready received_{};              // by the exchange so far
  std::array<LaneState, kLanes> lanes_;
  std::vector<Ready> events_;
  std::array<std::uint32_t, kGroupKinds> met_{};
  Task host_last_ = kNone;
  std::vector<RunPart> run_;  // gathered into the next task
  Run gathered_;
  Slowdowns gathered_beside_;        // alike for all of them
  const Step* run_begin_ = nullptr;  // the step of the first of them
  std::int32_t run_micro_batch_ = 0;
  std::vector<Route> routes_;
  KernelVariation variation_;
  double factor_ = 1;                     // of the kernels of `interval_`
  std::int64_t interval_ = -1;            // of the segment that is being walked
  std::vector<MemoryEvent> allocations_;  // drawn at the next task
  TaskId newest_ = kNoTask;
};

}  // namespace rehearse
