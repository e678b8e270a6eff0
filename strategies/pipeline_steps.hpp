#pragma once

#include <vector>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {

// What crosses the border of two stages on different ranks: a micro-batch's activations, sent on by
// `stage`, or the gradient of its input, sent back.
struct StageMessage {
  bool forward = true;
  int copy = 0;   // of the model
  int stage = 0;  // that sends
  int micro_batch = 0;
  auto operator<=>(const StageMessage&) const = default;
  int receiver() const { return forward ? stage + 1 : stage - 1; }
};

// One thing that a rank's host does in a pipeline: work of a schedule's action, or messages.
struct PipelineStep {
  enum class Kind : std::uint8_t {
    kRun,
    kRunBetween,  // receives what the action needs, runs it, sends what it makes
    kReceive,     // what follows waits for what the action needs
    kSend,        // what the action makes leaves, asynchronously
    kExchange,    // `messages` are sent and received by one kernel
    kAwait        // what follows waits for exchange number `exchange` of the rank
  };
  struct Half {
    bool sends = false;
    StageMessage message;
  };
  Kind kind = Kind::kRun;
  Action action;  // all but kExchange and kAwait
  std::vector<Half> messages;
  int exchange = 0;
};

// The steps of every rank, from the schedule's actions. `shape.rank` does not matter.
//
// - Each message on a stream of its own direction, sent when it is there and waited for by what
//   needs it (Megatron).
// - In order: a rank's messages are kernels of one stream, one after the other, which is how
//   torch.distributed.pipelining issues them (batch_isend_irecv, whose batches run on the
//   communicator's stream). A receive waits for the work issued before it, and a message for the
//   messages before it; how they are batched and ordered is Schedule::exchanges: ScheduleGPipe's
//   and Schedule1F1B's `_step_microbatches`, and for the others `_add_send_recv`, which puts a
//   receive into a rank's list as soon as the sender's action is in its own.
std::vector<std::vector<PipelineStep>> pipeline_steps(const Schedule& schedule,
                                                      const PipelineShape& shape, bool in_order);

}  // namespace rehearse
