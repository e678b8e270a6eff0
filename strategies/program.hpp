#pragma once

#include <cstdint>
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
// the same parameters. kEmbedding: the first and last stage, where both hold a tied embedding.
enum class GroupKind : std::uint8_t { kTensor, kContext, kData, kPipeline, kEmbedding };
inline constexpr int kGroupKinds = 5;
std::string_view to_string(GroupKind g);  // "tp", "cp", "dp", "pp", "embedding"

struct CollectiveWork {
  CollectiveOp op{};
  GroupKind group{};
  Bytes bytes{0};  // the full buffer
};

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

struct MemoryChange {
  MemoryScope scope{};
  bool allocate = true;
  MemoryCategory category{};
  std::int32_t slot = 0;
  Bytes bytes{0};
};

struct Kernel {
  KernelWork work;
  std::uint32_t name = 0;  // of Program::names
};

// A communication beside a kernel: it is issued first, on its own stream, both start when the
// compute stream is free, and what follows waits for both. On a GPU where the two slow each other
// (Gpu::compute_slowdown) they do so here as well.
struct Overlap {
  CollectiveWork communication;
  Kernel kernel;
  Seconds kernel_host{0};  // what issuing the kernel costs, after the communication
};

// One instruction of a segment.
struct Instr {
  std::variant<Kernel, CollectiveWork, MemoryChange, Overlap> what;
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

// Streams of a rank. The data-parallel communicator has one, for reductions and for FSDP's gathers,
// which share its links; a pipeline sends on one a direction, so that they do not wait for each
// other.
enum class StreamKind : std::uint8_t {
  kCompute,
  kData,
  kSendNext,
  kSendPrevious,
  kCopy  // copies around gathers (FSDP's copy-in)
};
inline constexpr int kStreamKinds = 5;
std::string_view to_string(StreamKind s);

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
// A message to another simulated rank. `tag` pairs a send with its receive.
struct Send {
  std::int32_t peer = 0;  // index of Program::ranks
  std::uint32_t tag = 0;
  Bytes bytes{0};
  StreamKind stream{};
};
struct Receive {  // the compute stream waits until the message has arrived
  std::int32_t peer = 0;
  std::uint32_t tag = 0;
  Bytes bytes{0};
};
struct Record {
  EventId event = 0;
  StreamKind stream{};
};
struct Wait {
  EventId event = 0;
  StreamKind stream{};
};
struct HostWait {  // the host goes on when the event has happened
  EventId event = 0;
};
struct Memory {
  MemoryChange change;
  std::int32_t frame = 0;
};

using StepWork = std::variant<RunSegment, RunKernel, RunCollective, Send, Receive, Record, Wait,
                              HostWait, Memory>;

struct Step {
  StepWork work;
  Seconds host{0};
  std::int32_t micro_batch = -1;
  std::int32_t chunk = -1;
};

// A rank that is simulated, for itself and for `represents - 1` others that do the same.
struct RankProgram {
  int rank = 0;
  int pipeline_rank = 0;
  int represents = 1;
  // Simulated ranks it meets in each kind of group: indices of Program::ranks, itself included. One
  // member: all others are folded into it.
  std::vector<std::vector<std::int32_t>> groups;
  std::vector<Step> steps;
  Bytes parameters{0}, optimizer_states{0};  // resident for the whole run
  Bytes persistent_gradients{0};
  Bytes buffers{0};  // resident temporaries: workspaces, rotary tables
  int events = 0;
};

struct Program {
  std::vector<std::string> names{""};
  std::vector<Segment> segments;
  std::vector<RankProgram> ranks;
  CommGroup groups[kGroupKinds];  // sizes and placement of each kind of group
  int positions =
      0;  // graphs of one pass: embedding, blocks, head; frame = micro_batch * positions + position

  std::uint32_t intern(const std::string& name);
};

}  // namespace rehearse
