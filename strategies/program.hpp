#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "hardware/cluster.hpp"
#include "hardware/work.hpp"
#include "sim/base/quantity.hpp"
#include "sim/engine/annotations.hpp"

namespace rehearse {

// What every simulated rank's host does in one training step, before anything is priced: the value
// between `strategies` and `hardware`.
//
// Model. A rank's host walks a list of steps in order, as eager PyTorch's does: it issues kernels
// and collectives onto streams, records and waits for events between streams, allocates and frees
// memory. Work that repeats (a block's forward for every layer and micro-batch) is a segment,
// stored once and called many times. Inside a segment everything runs in order on the compute
// stream; whatever is asynchronous (buckets, gathers, sends) is a step of the rank. So a segment is
// what can be priced once and merged into one task, and the steps are what must stay apart.

// Gradients meet in kData: the data-parallel ranks, with those of context parallelism, which have
// the same parameters; those of experts in kExpertData, the ranks that have the same experts.
// kExpert: the ranks that share a layer's experts. kEmbedding: the first and last stage, where both
// hold a tied embedding. kCopies: the two pipeline ranks that hold the same stages, where a
// schedule has two copies of the model. kToHost and kFromHost: a GPU and its host, whose link has
// two directions; messages there are copies.
enum class GroupKind : std::uint8_t {
  kTensor,
  kContext,
  kData,
  kPipeline,
  kEmbedding,
  kCopies,
  kExpert,
  kExpertData,
  kToHost,
  kFromHost
};
inline constexpr int kGroupKinds = 10;
std::string_view to_string(GroupKind g);  // "tp", "cp", "dp", "pp", "embedding", "copies", "ep",
                                          // "edp", "to_host", "from_host"

// What a rank runs on, where ranks differ (Cluster::deviations).
struct Machine {
  int gpu_type = 0;                            // of Cluster::gpu_of_type
  double speed = 1;                            // of everything that it computes
  std::array<LinkShare, kGroupKinds> links{};  // of the slowest member of each of its groups

  LinkShare& at(GroupKind g) { return links[static_cast<std::size_t>(g)]; }
  const LinkShare& at(GroupKind g) const { return links[static_cast<std::size_t>(g)]; }
  bool operator==(const Machine&) const = default;
};

struct CollectiveWork {
  CollectiveOp op{};
  GroupKind group{};
  Bytes bytes{0};  // the full buffer
};

// Streams of a rank. The data-parallel communicator has one, for reductions and for FSDP's gathers,
// which share its links; a pipeline sends on one a direction, so that they do not wait for each
// other, or has all its messages on one.
enum class StreamKind : std::uint8_t {
  kCompute,
  kData,
  kSendNext,
  kSendPrevious,
  kMessages,
  kCopy,     // copies around gathers (FSDP's copy-in)
  kToHost,   // copies to the host's memory
  kFromHost  // and back
};
inline constexpr int kStreamKinds = 8;
std::string_view to_string(StreamKind s);

// Memory is named by frame and slot, so that a segment can be called for any layer and micro-batch.
// A frame is one pass of one graph (embedding, block or head) for one micro-batch; frame f + 1 is
// the next graph of the same pass.
enum class MemoryScope : std::uint8_t {
  kFrame,     // this call's frame
  kPrevious,  // the frame before: its output is this one's input
  kNext,      // the frame after: its input's gradient is this one's output's
  kRank,      // outlives frames: gradients, buckets, gathered parameters; a place for each position
  kModel      // the same, one place for all positions: the gradient of a tied weight
};

// Several tensors that live and die together are one change: `pieces` has their sizes, for the
// allocator. PyTorch's allocator keeps the memory of each stream apart: `pool` is the stream that
// is current when the host asks.
struct MemoryChange {
  MemoryScope scope{};
  bool allocate = true;
  MemoryCategory category{};
  std::int32_t slot = 0;
  Bytes bytes{0};
  std::uint32_t pieces = 0;  // of Program::pieces; 0: one tensor
  StreamKind pool = StreamKind::kCompute;

  bool outlives_frames() const {
    return scope == MemoryScope::kRank || scope == MemoryScope::kModel;
  }
};

struct Kernel {
  KernelWork work;
  std::uint32_t name = 0;     // of Program::names
  bool synchronizes = false;  // the host waits for its result
  Seconds host{0};            // of issuing it, beside what its operator costs
};

// A communication beside a kernel: it is issued first, on its own stream, both start when the
// compute stream is free, and what follows waits for both. On a GPU where the two slow each other
// (Gpu::beside) they do so here as well.
struct Overlap {
  CollectiveWork communication;
  Kernel kernel;
  Seconds kernel_host{0};  // what issuing the kernel costs, after the communication
};

// The host waits until everything on the compute stream has run (it reads a number of the
// device's).
struct Synchronize {};

// One instruction of a segment.
struct Instr {
  std::variant<Kernel, CollectiveWork, MemoryChange, Overlap, Synchronize> what;
  Seconds host{0};          // what issuing it costs the host, before it is issued
  std::uint32_t label = 0;  // of Program::names: the operator
  Activity activity = Activity::kForward;
};

struct Segment {
  std::string name;
  std::vector<Instr> instrs;
};

using SegmentId = std::uint32_t;
using EventId = std::int32_t;

struct RunSegment {
  SegmentId segment = 0;
  std::int32_t frame = 0;
};
struct RunKernel {  // one kernel outside the compute stream's segments
  Kernel kernel;
  StreamKind stream{};
  Activity activity{};
  std::uint32_t label = 0;
};
struct RunCollective {
  CollectiveWork work;
  StreamKind stream{};
  std::uint32_t label = 0;
  std::uint32_t key = 0;  // pairs the ranks' calls: the n-th with this key of each member meet
};
// A message to another rank of the same pipeline. `tag` pairs a send with its receive.
struct Send {
  std::int32_t peer = 0;  // its pipeline rank: it is groups[kPipeline][peer]
  std::uint32_t tag = 0;
  Bytes bytes{0};
  StreamKind stream{};
};
struct Receive {  // the compute stream waits until the message has arrived
  std::int32_t peer = 0;
  std::uint32_t tag = 0;
  Bytes bytes{0};
};
// Messages that one kernel on kMessages sends and receives, in order; it ends when all are done.
struct Exchange {
  struct Half {
    bool sends = false;
    std::int32_t peer = 0;  // its pipeline rank
    std::uint32_t tag = 0;
    Bytes bytes{0};
  };
  std::vector<Half> halves;
};
struct Record {
  EventId event = 0;
  StreamKind stream{};
};
struct Wait {
  EventId event = 0;
  StreamKind stream{};
};
struct HostWait {  // the host goes on when the event has happened, with the step's host time
  EventId event = 0;
};
struct Memory {
  MemoryChange change;
  std::int32_t frame = 0;
};

using StepWork = std::variant<RunSegment, RunKernel, RunCollective, Send, Receive, Exchange, Record,
                              Wait, HostWait, Memory>;

struct Step {
  StepWork work;
  Seconds host{0};
  std::int32_t micro_batch = -1;
  std::int32_t chunk = -1;
};

// A rank's steps in order, written as passes: what the host does in one action of the schedule (a
// chunk's forward or backward), written for micro-batch 0, stored once and called for many
// micro-batches. What belongs to no action is a pass of its own, called once. Copies share passes.
//
// Iterating gives the steps themselves, each with the micro-batch, frame and tag of its call.
class StepList {
 public:
  using Pass = std::vector<Step>;
  struct Call {
    std::uint32_t pass = 0;
    std::int32_t micro_batch = 0;
    bool operator==(const Call&) const = default;
  };

  StepList() = default;
  explicit StepList(int positions) : positions_(positions) {}

  // Appends a step to the pass that was begun last.
  void push_back(Step step);
  // Begins a pass and calls it.
  std::uint32_t begin_pass(std::int32_t micro_batch);
  void call(std::uint32_t pass, std::int32_t micro_batch) { calls_.push_back({pass, micro_batch}); }

  const std::vector<Call>& calls() const { return calls_; }
  // How often each pass is called.
  std::vector<std::int32_t> times_called() const;

  // Calls that are the same again and again: each period calls the passes of the one before, for
  // micro-batches that are `shift` later.
  struct Stretch {
    std::size_t begin = 0, period = 0, count = 1;
    std::int32_t shift = 0;
    std::size_t end() const { return begin + period * count; }
  };
  // All calls in order, as stretches of at least kLeastPeriods, and of one between them.
  std::vector<Stretch> stretches() const;
  static constexpr std::size_t kLeastPeriods = 4;

  // The list without the last n periods of those that a stretch has up to call `end`: what comes
  // after is for micro-batches that are so many earlier. Nothing where some of it would be for
  // micro-batches before the first: then it is not of those that the periods began.
  std::optional<StepList> without_periods(const Stretch& stretch, std::size_t end,
                                          std::size_t n) const;

  std::size_t passes() const { return passes_.size(); }
  const Pass& pass(std::uint32_t id) const { return *passes_[id]; }
  Step at(const Call& call, std::size_t step) const;
  std::int32_t frame_shift(const Call& call) const { return call.micro_batch * positions_; }

  std::size_t size() const;
  // Every step, as if no pass were called twice.
  std::vector<Step> all() const;
  // Changes every stored step, in all its calls.
  template <class Change>
  void for_each_stored(const Change& change) {
    for (auto& pass : passes_) {
      pass = std::make_shared<Pass>(*pass);
      for (Step& step : *pass) change(step);
    }
  }

  // Gives steps by value.
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Step;
    using difference_type = std::ptrdiff_t;
    using pointer = const Step*;
    using reference = Step;
    Iterator(const StepList& list, std::size_t call);
    Step operator*() const { return list_->at(list_->calls_[call_], step_); }
    Iterator& operator++();
    bool operator==(const Iterator& o) const { return call_ == o.call_ && step_ == o.step_; }

   private:
    void skip_empty();
    const StepList* list_;
    std::size_t call_, step_ = 0;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, calls_.size()}; }

 private:
  // The longest stretch around the middle of calls [begin, end), if there is one.
  std::optional<Stretch> stretch_around_middle(std::size_t begin, std::size_t end) const;
  void add_stretches(std::size_t begin, std::size_t end, std::vector<Stretch>& out) const;

  int positions_ = 0;
  std::vector<std::shared_ptr<Pass>> passes_;
  std::vector<Call> calls_;
};

// What a rank allocates beside its steps, tensor by tensor in order, as the allocator sees it: the
// model's making and the first step shape its segments. (Sums of what stays are in RankProgram.)
struct Setup {
  struct Change {
    bool allocate = true;
    std::uint32_t id = 0;  // pairs an allocation with its release
    Bytes bytes{0};
  };
  std::vector<Change> before_first;  // the model is built and wrapped
  std::vector<Bytes> states;         // made by the first update
  std::vector<Bytes> before_second;  // DDP makes its buckets anew, in the order of the gradients
  std::size_t update = 0;            // of StepList::calls(): the pass that updates

  std::uint32_t allocate(Bytes b) {
    before_first.push_back({true, ids, b});
    return ids++;
  }
  void release(std::uint32_t id) { before_first.push_back({false, id, Bytes(0)}); }
  std::uint32_t ids = 0;
};

// A rank that is simulated, for itself and for `represents - 1` others that do the same.
struct RankProgram {
  int rank = 0;
  int pipeline_rank = 0;
  int represents = 1;
  int members = 1;          // of its own tensor- and context-parallel groups among them
  double busy = 1;          // computing time of those that it represents over its own, mean
  std::size_t machine = 0;  // of Program::machines
  // The simulated ranks that the GPUs of its node are folded into, in order of GPU; empty where no
  // two GPUs of a node share a link out of it.
  std::vector<std::int32_t> node_ranks;
  // Simulated ranks it meets in each kind of group: indices of Program::ranks, itself included. One
  // member: all others are folded into it.
  std::vector<std::vector<std::int32_t>> groups;
  StepList steps;
  Bytes parameters{0}, optimizer_states{0};  // resident for the whole run
  Bytes persistent_gradients{0};
  Bytes cache{0};    // keys and values, in inference
  Bytes making{0};   // in inference the most while weights are made: each is drawn, then scaled
  Bytes buffers{0};  // resident temporaries: workspaces, rotary tables
  Setup setup;
  int events = 0;
};

struct Program {
  std::vector<std::string> names{""};
  std::vector<Segment> segments;
  std::vector<RankProgram> ranks;
  std::vector<Machine> machines{{}};  // distinct ones of the ranks
  CommGroup groups[kGroupKinds];      // sizes and placement of each kind of group
  Seconds check_waits[kGroupKinds];   // of the host, before each of their collectives
  // Of exchanges: a receiver's buffers, each for so much of one message.
  int message_slots = 0;
  Bytes message_slot{0};
  int positions =
      0;  // graphs of one pass: embedding, blocks, head; frame = micro_batch * positions + position

  std::vector<std::vector<Bytes>> pieces{{}};  // see MemoryChange

  std::uint32_t intern(const std::string& name);
  // Which frame, or position where it outlives frames, a change in `frame` is of.
  std::int64_t place_of(const MemoryChange& change, std::int32_t frame) const;
  // 0 for one piece.
  std::uint32_t add_pieces(std::vector<Bytes> sizes);
};

}  // namespace rehearse
