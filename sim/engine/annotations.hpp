#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "sim/base/sim_time.hpp"
#include "sim/engine/task_graph.hpp"

namespace rehearse {

// What the tasks of a graph mean: the cold half, indexed by id, that the engine never reads and
// reports are made of.

enum class Activity : std::uint8_t {
  kForward,
  kBackward,
  kRecompute,  // forward work done again in backward
  kOptimizer,
  kHost,  // issuing, on a host's stream
  kCollective,
  kSend,
  kReceive,
  kJoin  // takes no resource: ranks meeting, a latency, a wait
};

// The five parts that memory is reported in.
enum class MemoryCategory : std::uint8_t {
  kParameters,
  kGradients,
  kOptimizerStates,
  kActivations,
  kTemporary
};
inline constexpr int kMemoryCategories = 5;

struct TaskInfo {
  std::uint32_t name = 0;   // of Annotations::names; a kernel's or a collective's
  std::uint32_t label = 0;  // of Annotations::names; the operator it is part of, or 0 ("")
  Activity activity = Activity::kJoin;
  std::uint8_t step = 0;     // which of the simulated steps
  std::uint32_t device = 0;  // of Annotations::devices
  std::int32_t micro_batch = -1;
  std::int32_t chunk = -1;       // model chunk (pipeline stage in model order)
  std::int32_t collective = -1;  // of Annotations::collectives, for communication
  std::uint32_t flow = 0;        // a send and its receive have the same number; 0: none
  std::int32_t share = -1;       // of Annotations::shares, for a task that merges a segment
};

// What a task that stands for a whole segment of kernels consists of. `parts_ps` add up to the
// duration D that the segment takes on its own; a task that takes longer on the timeline waited
// for the host for the rest, and one that takes less shrinks every part in proportion.
// `collectives` are the communications inside the segment, `ps` of them all together; what is not
// hidden adds up to the parts of communication.
struct SegmentShare {
  struct CollectiveUse {
    std::int32_t collective = -1;  // of Annotations::collectives
    std::int32_t count = 0;
    std::int64_t ps = 0;
    std::int64_t hidden_ps = 0;  // of `ps`, beside a kernel of the segment
  };
  std::vector<std::pair<Activity, std::int64_t>> parts_ps;
  std::vector<CollectiveUse> collectives;
};

// One kind of communication: the same operation, group and size.
struct CollectiveInfo {
  std::string operation;  // "all_reduce", "send_recv"
  std::string group;      // "tp", "dp", "cp", "pp"
  Bytes payload{0};       // the full buffer
  Bytes wire_bytes_per_rank{0};
};

struct StreamInfo {
  std::uint32_t device = 0;
  std::string name;  // "host", "compute", "dp", "pp send", ...
};

struct DeviceInfo {
  int rank = 0;  // global rank of the one that is simulated
  int pipeline_stage = 0;
  int represents = 1;     // ranks that do the same and are not simulated
  double busy = 1;        // computing time of a rank that it represents over its own, mean
  SimTime kernel_gap{0};  // of a kernel's task, the time after it in which its stream is idle
};

// A change of allocated memory, in the order in which the device's host makes it: PyTorch's
// allocator counts an allocation when the host asks for it. `task` is the task it is drawn at.
struct MemoryEvent {
  TaskId task = 0;
  MemoryCategory category{};
  std::int64_t delta = 0;  // bytes, negative frees
};

struct Annotations {
  std::vector<std::string> names{""};
  std::vector<TaskInfo> tasks;      // by TaskId
  std::vector<StreamInfo> streams;  // by StreamId
  std::vector<DeviceInfo> devices;
  std::vector<CollectiveInfo> collectives;
  std::vector<SegmentShare> shares;              // of merged tasks
  std::vector<std::vector<MemoryEvent>> memory;  // by device; may be empty
  std::vector<StreamId> compute_stream;          // by device
  int steps = 1;                                 // simulated back to back; the last is reported
};

}  // namespace rehearse
