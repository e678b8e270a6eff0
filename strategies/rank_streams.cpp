#include "strategies/rank_streams.hpp"

#include <string>
#include <utility>

namespace rehearse {
namespace {

std::string lane_name(std::size_t lane, std::size_t tensor) {
  constexpr std::array kInside{"nccl tp", "nccl cp", "nccl ep"};
  if (lane >= tensor && lane - tensor < kInside.size()) return kInside[lane - tensor];
  if (lane < kStreamKinds) return std::string(to_string(static_cast<StreamKind>(lane)));
  return "host";
}

}  // namespace

template <class Sink>
RankStreams<Sink>::RankStreams(LoweringState<Sink>& state, std::uint32_t index)
    : state_(state), index_(index), rank_(state.program.ranks[index]) {
  const StreamId compute = stream(lane(StreamKind::kCompute));
  if constexpr (Sink::kAnnotates) state_.sink.notes.compute_stream.push_back(compute);
  if (state_.options.merge) return;
  const std::pair<MemoryCategory, Bytes> residents[] = {
      {MemoryCategory::kParameters, rank_.parameters},
      {MemoryCategory::kGradients, rank_.persistent_gradients},
      {MemoryCategory::kOptimizerStates, rank_.optimizer_states},
      {MemoryCategory::kActivations, rank_.cache},
      {MemoryCategory::kTemporary, rank_.buffers}};
  for (const auto& [category, bytes] : residents)
    if (bytes.value > 0) allocations_.push_back({0, category, bytes.value});
}

template <class Sink>
StreamId RankStreams<Sink>::stream(std::size_t l) {
  LaneState& s = lanes_[l];
  if (s.stream != kNoStream) return s.stream;
  const bool kernels = l == lane(StreamKind::kCompute) || l == lane(StreamKind::kCopy);
  // Copy engines take nothing of what kernels need.
  const bool independent =
      l == kHostLane || l == lane(StreamKind::kToHost) || l == lane(StreamKind::kFromHost);
  const StreamClass cls = kernels       ? StreamClass::kForeground
                          : independent ? StreamClass::kIndependent
                                        : StreamClass::kBackground;
  return s.stream = state_.sink.add_stream(index_, cls, lane_name(l, kTensorLane).c_str());
}

template <class Sink>
TaskInfo RankStreams<Sink>::info(Activity activity, std::uint32_t name, std::uint32_t label) const {
  TaskInfo i;
  i.name = name;
  i.label = label;
  i.activity = activity;
  i.step = static_cast<std::uint8_t>(step);
  i.device = index_;
  if (now != nullptr) {
    i.micro_batch = now->step->micro_batch + micro_batch;
    i.chunk = now->step->chunk;
  }
  return i;
}

template <class Sink>
typename Sink::Task RankStreams<Sink>::issue(std::int64_t host, std::int64_t lag) {
  const auto issuing = [&] { return info(Activity::kHost, state_.names.issue, 0); };
  const Task before = host_last_;
  if (host > 0) host_last_ = place(kHostLane, host, issuing);
  if (lag == 0) return before;
  return delay(lag, issuing, {}, before);
}

template <class Sink>
void RankStreams<Sink>::synchronize(const Ready& after) {
  wait_for(kHostLane, after);
  host_last_ =
      place(kHostLane, 0, [this] { return info(Activity::kHost, state_.names.synchronize, 0); });
}

template <class Sink>
void RankStreams<Sink>::draw_memory([[maybe_unused]] Task t) {
  if constexpr (Sink::kAnnotates) {
    for (MemoryEvent& e : allocations_) {
      e.task = t;
      state_.sink.notes.memory[index_].push_back(e);
    }
    allocations_.clear();
    newest_ = t;
  }
}

template <class Sink>
void RankStreams<Sink>::remember([[maybe_unused]] const MemoryChange& c) {
  if constexpr (Sink::kAnnotates) {
    if (c.bytes.value == 0) return;
    const MemoryEvent e{newest_ == kNoTask ? 0 : newest_, c.category,
                        c.allocate ? c.bytes.value : -c.bytes.value};
    if (c.allocate || newest_ == kNoTask || !allocations_.empty())
      allocations_.push_back(e);
    else
      state_.sink.notes.memory[index_].push_back(e);
  }
}

template class RankStreams<GraphSink>;
template class RankStreams<ClockSink>;

}  // namespace rehearse
