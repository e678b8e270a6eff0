#include "strategies/rank_messages.hpp"

#include <algorithm>
#include <utility>

namespace rehearse {

template <class Sink>
const typename RankMessages<Sink>::Route& RankMessages<Sink>::route(std::int32_t other, Bytes bytes,
                                                                    bool outward) {
  const std::int32_t key = outward ? other : -1 - other;
  for (const Route& known : routes_)
    if (known.peer == key && known.bytes == bytes) return known;
  const auto there = static_cast<std::size_t>(other);
  const std::size_t here = streams_.index();
  const auto [occupied, latency] =
      outward ? message_time(state_.program, state_.cluster, here, there, bytes)
              : message_time(state_.program, state_.cluster, there, here, bytes);
  const TransferId transfer =
      outward
          ? state_.transfer(streams_.index(), static_cast<std::uint32_t>(other), bytes, occupied)
          : kNoTransfer;
  routes_.push_back({key, bytes, occupied, latency, transfer});
  return routes_.back();
}

template <class Sink>
TaskInfo RankMessages<Sink>::message_info(Activity activity, Bytes bytes, std::uint32_t flow) {
  TaskInfo i = streams_.info(
      activity, activity == Activity::kSend ? state_.names.send : state_.names.receive, 0);
  i.flow = flow;
  i.collective = state_.prices
                     .collective(streams_.rank().machine,
                                 {CollectiveOp::kSendRecv, GroupKind::kPipeline, bytes})
                     .first;
  return i;
}

template <class Sink>
void RankMessages<Sink>::send(const Send& s) {
  const std::int32_t to = peer(s.peer);
  const Route& way = route(to, s.bytes, true);
  const auto [occupied, transfer] = std::pair(way.occupied, way.transfer);
  const Task after = streams_.issue(streams_.now->host);
  const std::uint32_t flow = ++state_.flows;
  const Task t = streams_.place(
      Streams::lane(s.stream), occupied,
      [&] { return message_info(Activity::kSend, s.bytes, flow); }, after, nullptr, transfer);
  state_.messages[static_cast<std::size_t>(to)].push_back(
      {self(), tag(s.tag), streams_.step, flow, t});
}

template <class Sink>
std::optional<typename LoweringState<Sink>::Message> RankMessages<Sink>::take_message(
    std::int32_t from, std::uint32_t message_tag) {
  auto& inbox = state_.messages[streams_.index()];
  const auto it = std::find_if(inbox.begin(), inbox.end(), [&](const auto& m) {
    return m.from == from && m.tag == message_tag && m.step == streams_.step;
  });
  if (it == inbox.end()) return {};
  const auto message = *it;
  inbox.erase(it);
  return message;
}

template <class Sink>
bool RankMessages<Sink>::receive(const Receive& r) {
  const std::int32_t from = peer(r.peer);
  const auto message = take_message(from, tag(r.tag));
  if (!message) return false;
  const Task after = streams_.issue(streams_.now->host);
  Ready transfer{};
  Sink::include(transfer, message->transfer);
  const Task arrival = streams_.delay(
      route(from, r.bytes, false).latency,
      [&] { return message_info(Activity::kReceive, r.bytes, message->flow); }, transfer, after);
  streams_.wait_for_task(Streams::lane(StreamKind::kCompute), arrival);
  return true;
}

template <class Sink>
void RankMessages<Sink>::arrive(const Exchange& x) {
  arrived_ = true;
  arrival_ = streams_.place(
      Streams::lane(StreamKind::kMessages), 0,
      [&] { return streams_.info(Activity::kJoin, state_.names.exchange, 0); },
      streams_.issue(streams_.now->host));
  state_.sink.hold(arrival_);
  for (const Exchange::Half& h : x.halves)
    if (!h.sends)
      state_.connection(peer(h.peer), self())
          .awaited.push_back({peer(h.peer), tag(h.tag), streams_.step, 0, arrival_});
}

template <class Sink>
bool RankMessages<Sink>::exchange(const Exchange& x) {
  const std::size_t l = Streams::lane(StreamKind::kMessages);
  if (!arrived_) arrive(x);
  bool receives = false;
  for (; half_ < x.halves.size(); ++half_) {
    const Exchange::Half& h = x.halves[half_];
    if (!(h.sends ? exchange_send(h) : exchange_receive(h))) return false;
  }
  for (const Exchange::Half& h : x.halves) receives |= !h.sends;
  if (receives) {
    if (streams_.last(l) != arrival_) state_.sink.hold(streams_.last(l));
    streams_.wait_for(l, received_);
    streams_.place(l, 0, [&] { return streams_.info(Activity::kJoin, state_.names.exchange, 0); });
  }
  Sink::clear(received_);
  half_ = 0;
  arrived_ = false;
  return true;
}

// NCCL's receivers have buffers, in slots: a send is done when it is in them. It starts when the
// messages before it have left it enough slots; a message of more slots than there are, with its
// own receive.
template <class Sink>
std::optional<typename Sink::Task> RankMessages<Sink>::room_for(const Exchange::Half& h,
                                                                std::int64_t slots) {
  auto& c = state_.connection(self(), peer(h.peer));
  const std::int64_t all = state_.program.message_slots;
  if (slots > all) {
    for (const auto& m : c.awaited)
      if (m.tag == tag(h.tag) && m.step == streams_.step) return m.transfer;
    return {};
  }
  const std::int64_t received = c.sent + slots - all;  // before it can start
  if (received <= 0) return kNone;
  const auto it = std::lower_bound(
      c.received.begin(), c.received.end(), received,
      [](const std::pair<std::int64_t, Task>& r, std::int64_t n) { return r.first < n; });
  if (it == c.received.end()) return {};
  return it->second;
}

template <class Sink>
std::int64_t RankMessages<Sink>::slots_of(Bytes bytes) const {
  const std::int64_t slot = state_.program.message_slot.value;
  return slot > 0 ? (bytes.value + slot - 1) / slot : 1;
}

template <class Sink>
bool RankMessages<Sink>::exchange_send(const Exchange::Half& h) {
  const std::int32_t to = peer(h.peer);
  const std::int64_t slots = slots_of(h.bytes);
  const std::optional<Task> room = room_for(h, slots);
  if (!room) return false;
  state_.connection(self(), to).sent += slots;
  const std::uint32_t flow = ++state_.flows;
  const Route& way = route(to, h.bytes, true);
  const Task t = streams_.place(
      Streams::lane(StreamKind::kMessages), way.occupied,
      [&] { return message_info(Activity::kSend, h.bytes, flow); }, *room, nullptr, way.transfer);
  state_.messages[static_cast<std::size_t>(to)].push_back(
      {self(), tag(h.tag), streams_.step, flow, t});
  return true;
}

template <class Sink>
bool RankMessages<Sink>::exchange_receive(const Exchange::Half& h) {
  const std::int32_t from = peer(h.peer);
  const auto message = take_message(from, tag(h.tag));
  if (!message) return false;
  Ready transfer{};
  Sink::include(transfer, message->transfer);
  const Task arrival = streams_.delay(
      route(from, h.bytes, false).latency,
      [&] { return message_info(Activity::kReceive, h.bytes, message->flow); }, transfer, arrival_);
  auto& c = state_.connection(from, self());
  std::erase_if(c.awaited,
                [&](const auto& m) { return m.tag == tag(h.tag) && m.step == streams_.step; });
  const std::int64_t before = c.received.empty() ? 0 : c.received.back().first;
  c.received.emplace_back(before + slots_of(h.bytes), arrival);
  Sink::include(received_, arrival);
  return true;
}

template class RankMessages<GraphSink>;
template class RankMessages<ClockSink>;

}  // namespace rehearse
