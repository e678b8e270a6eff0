#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "strategies/program.hpp"
#include "strategies/runtime.hpp"

namespace rehearse {

// Appends to one rank's list of steps: the vocabulary in which strategies write what a host does.
class StepWriter {
 public:
  StepWriter(Program& program, RankProgram& rank, const Runtime& runtime)
      : program_(program), rank_(rank), runtime_(runtime) {
    rank_.steps = StepList(program.positions);
  }

  // Begins a pass of StepList: what is written now is written for micro-batch 0.
  std::uint32_t begin_pass(int micro_batch) {
    changed_.clear();
    return rank_.steps.begin_pass(micro_batch);
  }
  // What allocate() has filled, or release() emptied, since.
  struct Filled {
    std::tuple<MemoryScope, std::int32_t, std::int32_t> where;
    std::optional<MemoryChange> what;
  };
  const std::vector<Filled>& filled() const { return changed_; }
  void refill(const std::vector<Filled>& filled);
  // The pass again.
  void call_pass(std::uint32_t pass, int micro_batch) { rank_.steps.call(pass, micro_batch); }

  // Where later steps belong, for reports.
  void at(int micro_batch, int chunk) {
    micro_batch_ = micro_batch;
    chunk_ = chunk;
  }
  // Frames are positions of the current micro-batch.
  std::int32_t frame(int position) const { return micro_batch_ * program_.positions + position; }

  void segment(SegmentId id, int position);
  void kernel(StreamKind stream, Activity activity, const std::string& name, MemoryWork work);
  // All ranks of the group meet; issued in the same order by each.
  void collective(StreamKind stream, CollectiveOp op, GroupKind group, Bytes bytes,
                  const std::string& label);
  EventId record(StreamKind stream);
  // The same event each time; -1: a new one, the first time. Nothing may still wait for what it
  // was.
  void record(StreamKind stream, EventId& event);
  void wait(StreamKind stream, EventId event);
  // `after` waits for all that `before` has been given.
  void order(StreamKind before, StreamKind after) { wait(after, record(before)); }
  // The host waits, and then works for some time.
  void host_wait(EventId event, Seconds then = Seconds(0));
  // Bytes over the link to the host, to it or from it, on the stream of that direction after what
  // the stream `after` has been given.
  EventId copy(GroupKind direction, StreamKind after, Bytes bytes, const std::string& label);
  void host(Seconds time) { pending_host_ += time; }
  // `tensors`: of which each is a message to the host.
  void send(int peer, std::uint32_t tag, Bytes bytes, StreamKind stream, int tensors = 1);
  void receive(int peer, std::uint32_t tag, Bytes bytes, int tensors = 1);
  // On kMessages, after all that the compute stream has been given.
  void exchange(std::vector<Exchange::Half> halves);
  // `pieces`: of Program::pieces, where `bytes` is several tensors.
  void allocate(MemoryScope scope, int position, std::int32_t slot, Bytes bytes,
                MemoryCategory category, StreamKind pool = StreamKind::kCompute,
                std::uint32_t pieces = 0);
  // Frees what allocate() filled, or, given bytes and category, what a segment filled.
  void release(MemoryScope scope, int position, std::int32_t slot);
  void release(MemoryScope scope, int position, std::int32_t slot, Bytes bytes,
               MemoryCategory category);

  const Runtime& runtime() const { return runtime_; }
  int positions() const { return program_.positions; }
  Program& program() { return program_; }
  RankProgram& rank() { return rank_; }

 private:
  void emit(StepWork work);

  Program& program_;
  RankProgram& rank_;
  const Runtime& runtime_;
  int micro_batch_ = 0, chunk_ = 0;
  std::uint32_t keys_ = 0;
  Seconds pending_host_{0};
  // (scope, frame or position, slot) of what was allocated here.
  std::map<std::tuple<MemoryScope, std::int32_t, std::int32_t>, MemoryChange> filled_;
  std::vector<Filled> changed_;  // of filled_, in the pass
};

}  // namespace rehearse
