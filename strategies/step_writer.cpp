#include "strategies/step_writer.hpp"

#include <utility>

namespace rehearse {

void StepWriter::emit(StepWork work) {
  // Host time is spent where something is issued: bookkeeping in between costs none of its own.
  const bool issues =
      !std::holds_alternative<Record>(work) && !std::holds_alternative<Wait>(work) &&
      !std::holds_alternative<Memory>(work) && !std::holds_alternative<HostWait>(work);
  rank_.steps.push_back(
      {std::move(work), issues ? pending_host_ : Seconds(0), micro_batch_, chunk_});
  if (issues) pending_host_ = Seconds(0);
}

void StepWriter::segment(SegmentId id, int position) { emit(RunSegment{id, frame(position)}); }

void StepWriter::kernel(StreamKind stream, Activity activity, const std::string& name,
                        MemoryWork work) {
  pending_host_ += runtime_.host_per_kernel;
  emit(RunKernel{{std::move(work), program_.intern(name)}, stream, activity, 0});
}

void StepWriter::collective(StreamKind stream, CollectiveOp op, GroupKind group, Bytes bytes,
                            const std::string& label) {
  const auto kind = static_cast<std::size_t>(group);
  pending_host_ += runtime_.collective_host(program_.groups[kind].ranks);
  pending_host_ += program_.check_waits[kind];
  emit(RunCollective{{op, group, bytes}, stream, program_.intern(label), keys_++});
}

EventId StepWriter::record(StreamKind stream) {
  const EventId e = rank_.events++;
  emit(Record{e, stream});
  return e;
}

void StepWriter::record(StreamKind stream, EventId& event) {
  if (event < 0)
    event = record(stream);
  else
    emit(Record{event, stream});
}

void StepWriter::refill(const std::vector<Filled>& filled) {
  for (const Filled& f : filled) {
    if (f.what)
      filled_[f.where] = *f.what;
    else
      filled_.erase(f.where);
  }
}

void StepWriter::wait(StreamKind stream, EventId event) { emit(Wait{event, stream}); }

void StepWriter::host_wait(EventId event, Seconds then) {
  rank_.steps.push_back({HostWait{event}, then, micro_batch_, chunk_});
}

EventId StepWriter::copy(GroupKind direction, StreamKind after, Bytes bytes,
                         const std::string& label) {
  const StreamKind stream =
      direction == GroupKind::kToHost ? StreamKind::kToHost : StreamKind::kFromHost;
  order(after, stream);
  emit(RunCollective{
      {CollectiveOp::kSendRecv, direction, bytes}, stream, program_.intern(label), keys_++});
  return record(stream);
}

void StepWriter::send(int peer, std::uint32_t tag, Bytes bytes, StreamKind stream, int tensors) {
  pending_host_ += runtime_.message_host(tensors);
  emit(Send{peer, tag, bytes, stream});
}

void StepWriter::receive(int peer, std::uint32_t tag, Bytes bytes, int tensors) {
  pending_host_ += runtime_.message_host(tensors);
  emit(Receive{peer, tag, bytes});
}

void StepWriter::exchange(std::vector<Exchange::Half> halves) {
  order(StreamKind::kCompute, StreamKind::kMessages);
  pending_host_ += runtime_.host_per_message;
  emit(Exchange{std::move(halves)});
}

void StepWriter::allocate(MemoryScope scope, int position, std::int32_t slot, Bytes bytes,
                          MemoryCategory category, StreamKind pool, std::uint32_t pieces) {
  const MemoryChange change{scope, true, category, slot, runtime_.allocated(bytes), pieces, pool};
  const std::int32_t at = scope == MemoryScope::kRank ? position : frame(position);
  filled_[{scope, at, slot}] = change;
  changed_.push_back({{scope, at, slot}, change});
  emit(Memory{change, frame(position)});
}

void StepWriter::release(MemoryScope scope, int position, std::int32_t slot) {
  const std::int32_t at = scope == MemoryScope::kRank ? position : frame(position);
  const auto it = filled_.find({scope, at, slot});
  if (it == filled_.end()) return;  // nothing there
  MemoryChange change = it->second;
  change.allocate = false;
  changed_.push_back({it->first, {}});
  filled_.erase(it);
  emit(Memory{change, frame(position)});
}

void StepWriter::release(MemoryScope scope, int position, std::int32_t slot, Bytes bytes,
                         MemoryCategory category) {
  emit(Memory{{scope, false, category, slot, runtime_.allocated(bytes)}, frame(position)});
}

}  // namespace rehearse
