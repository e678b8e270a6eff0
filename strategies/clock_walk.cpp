#include "strategies/clock_walk.hpp"

#include "strategies/transfers.hpp"

namespace rehearse {

template <class A>
typename A::Time ClockWalk<A>::issue(std::int64_t host, std::int64_t lag) {
  const Time before = lanes()[kHostLane];
  if (host > 0) place(kHostLane, host, Time{});
  if (lag == 0) return before;
  ++tasks;
  return A::plus(before, lag);
}

template <class A>
typename A::Time ClockWalk<A>::place(std::size_t lane, std::int64_t time, Time after) {
  ++tasks;
  return lanes()[lane] = A::plus(arithmetic.later(lanes()[lane], after), time);
}

// What was gathered becomes one task.
template <class A>
void ClockWalk<A>::flush() {
  if (!now_->gathering) return;
  const Run& run = now_->gathered;
  const Time after = issue(run.host, run.lag());
  if (run.duration > 0) place(static_cast<std::size_t>(StreamKind::kCompute), run.duration, after);
  now_->gathered = {};
  now_->gathering = false;
}

template <class A>
void ClockWalk<A>::synchronize(Time t) {
  wait(kHostLane, t);
  place(kHostLane, 0, Time{});
}

template <class A>
bool ClockWalk<A>::meet(std::size_t lane, GroupKind of, std::int64_t time) {
  const std::vector<std::int32_t>& group = members(of);
  if (group.size() <= 1) {
    place(lane, time, Time{});
    return true;
  }
  const auto kind = static_cast<std::size_t>(of);
  const std::uint32_t number = now_->met[kind] + 1;
  const auto first = static_cast<std::size_t>(group.front());
  Meeting& meeting = meetings_[kind * program_.ranks.size() + first][number % 2];
  if (meeting.number != number) meeting = {number, 0, Time{}};
  if (!now_->arrived) {
    now_->arrived = true;
    meeting.arrivals = arithmetic.later(meeting.arrivals, place(lane, 0, Time{}));
    if (++meeting.arrived == group.size()) ++tasks;
  }
  if (meeting.arrived < group.size()) return false;
  place(lane, time, meeting.arrivals);
  now_->met[kind] = number;
  now_->arrived = false;
  return true;
}

template <class A>
bool ClockWalk<A>::inside(const ClockOp& op) {
  constexpr auto kCompute = static_cast<std::size_t>(StreamKind::kCompute);
  flush();
  if (!now_->arrived) {
    wait(kCompute, issue(op.host));
    wait(op.lane, lanes()[kCompute]);
  }
  if (!meet(op.lane, op.group, op.time)) return false;
  if (op.kind == ClockOp::Kind::kOverlap) place(kCompute, op.beside, issue(op.beside_host));
  wait(kCompute, lanes()[op.lane]);
  return true;
}

template <class A>
const ClockedRank::Route& ClockWalk<A>::route(std::int32_t other, Bytes bytes, bool outward) {
  const std::int32_t key = outward ? other : -1 - other;
  std::vector<ClockedRank::Route>& routes = fixed_[index_].routes;
  for (const ClockedRank::Route& known : routes)
    if (known.peer == key && known.bytes == bytes) return known;
  const auto there = static_cast<std::size_t>(other);
  const auto [occupied, latency] = outward ? message_time(program_, cluster_, index_, there, bytes)
                                           : message_time(program_, cluster_, there, index_, bytes);
  routes.push_back({key, bytes, occupied, latency});
  return routes.back();
}

template <class A>
void ClockWalk<A>::send(const Send& s, std::int64_t host) {
  flush();
  const std::int32_t to = peer(s.peer);
  const std::int64_t occupied = route(to, s.bytes, true).occupied;
  const Time after = issue(host);
  const Time sent = place(static_cast<std::size_t>(s.stream), occupied, after);
  ranks[static_cast<std::size_t>(to)].inbox.push_back(
      {static_cast<std::int32_t>(index_), tag(s.tag), now_->step, sent});
}

template <class A>
bool ClockWalk<A>::take_message(std::int32_t from, std::uint32_t message_tag, Time& sent) {
  auto& inbox = now_->inbox;
  const auto it = std::find_if(inbox.begin(), inbox.end(), [&](const auto& m) {
    return m.tag == message_tag && m.from == from && m.step == now_->step;
  });
  if (it == inbox.end()) return false;
  sent = it->sent;
  inbox.erase(it);
  return true;
}

template <class A>
bool ClockWalk<A>::receive(const Receive& r, std::int64_t host) {
  flush();
  const std::int32_t from = peer(r.peer);
  Time sent{};
  if (!take_message(from, tag(r.tag), sent)) return false;
  const Time after = issue(host);
  ++tasks;
  wait(static_cast<std::size_t>(StreamKind::kCompute),
       A::plus(arithmetic.later(sent, after), route(from, r.bytes, false).latency));
  return true;
}

template <class A>
bool ClockWalk<A>::exchange(const Exchange& x, std::int64_t host) {
  flush();
  constexpr auto kLane = static_cast<std::size_t>(StreamKind::kMessages);
  if (!now_->arrived) {
    now_->arrived = true;
    now_->arrival = place(kLane, 0, issue(host));
    for (const Exchange::Half& h : x.halves)
      if (!h.sends)
        connections_[{peer(h.peer), static_cast<std::int32_t>(index_)}].awaited.push_back(
            {tag(h.tag), now_->step, now_->arrival});
  }
  bool receives = false;
  for (; now_->half < x.halves.size(); ++now_->half) {
    const Exchange::Half& h = x.halves[now_->half];
    if (!(h.sends ? exchange_send(h) : exchange_receive(h))) return false;
  }
  for (const Exchange::Half& h : x.halves) receives |= !h.sends;
  if (receives) {
    wait(kLane, now_->received);
    place(kLane, 0, Time{});
  }
  now_->received = {};
  now_->half = 0;
  now_->arrived = false;
  return true;
}

// When a send may start: see RankMessages. False: that is not known yet.
template <class A>
bool ClockWalk<A>::room_for(const Exchange::Half& h, std::int64_t slots, Time& room) {
  const Connection& c = connections_[{static_cast<std::int32_t>(index_), peer(h.peer)}];
  const std::int64_t all = program_.message_slots;
  if (slots > all) {
    for (const auto& m : c.awaited) {
      if (m.tag != tag(h.tag) || m.step != now_->step) continue;
      room = m.start;
      return true;
    }
    return false;
  }
  const std::int64_t received = c.sent + slots - all;  // before it can start
  if (received <= 0) return true;
  const auto it = std::lower_bound(c.received.begin(), c.received.end(), received,
                                   [](const auto& r, std::int64_t n) { return r.first < n; });
  if (it == c.received.end()) return false;
  room = it->second;
  return true;
}

template <class A>
bool ClockWalk<A>::exchange_send(const Exchange::Half& h) {
  const std::int32_t to = peer(h.peer);
  const std::int64_t slots = slots_of(h.bytes);
  Time room{};
  if (!room_for(h, slots, room)) return false;
  connections_[{static_cast<std::int32_t>(index_), to}].sent += slots;
  const Time sent = place(static_cast<std::size_t>(StreamKind::kMessages),
                          route(to, h.bytes, true).occupied, room);
  ranks[static_cast<std::size_t>(to)].inbox.push_back(
      {static_cast<std::int32_t>(index_), tag(h.tag), now_->step, sent});
  return true;
}

template <class A>
bool ClockWalk<A>::exchange_receive(const Exchange::Half& h) {
  const std::int32_t from = peer(h.peer);
  Time sent{};
  if (!take_message(from, tag(h.tag), sent)) return false;
  ++tasks;
  const Time arrival =
      A::plus(arithmetic.later(sent, now_->arrival), route(from, h.bytes, false).latency);
  Connection& c = connections_[{from, static_cast<std::int32_t>(index_)}];
  std::erase_if(c.awaited,
                [&](const auto& m) { return m.tag == tag(h.tag) && m.step == now_->step; });
  const std::int64_t before = c.received.empty() ? 0 : c.received.back().first;
  c.received.emplace_back(before + slots_of(h.bytes), arrival);
  now_->received = arithmetic.later(now_->received, arrival);
  return true;
}

template <class A>
bool ClockWalk<A>::execute(const ClockOp& op) {
  constexpr auto kCompute = static_cast<std::size_t>(StreamKind::kCompute);
  switch (op.kind) {
    case ClockOp::Kind::kRun:
      now_->gathered = now_->gathered.then(op.run);
      now_->gathering = true;
      return true;
    case ClockOp::Kind::kKernel: {
      flush();
      const Time after = issue(op.host);
      place(op.lane, op.time, after);
      return true;
    }
    case ClockOp::Kind::kCollective:
      flush();
      if (!now_->arrived) wait(op.lane, issue(op.host));
      return meet(op.lane, op.group, op.time);
    case ClockOp::Kind::kInside:
    case ClockOp::Kind::kOverlap:
      return inside(op);
    case ClockOp::Kind::kSynchronize:
      flush();
      issue(op.host, 0);
      synchronize(lanes()[kCompute]);
      return true;
    case ClockOp::Kind::kSend:
      send(std::get<Send>(op.step->work), op.host);
      return true;
    case ClockOp::Kind::kReceive:
      return receive(std::get<Receive>(op.step->work), op.host);
    case ClockOp::Kind::kExchange:
      return exchange(std::get<Exchange>(op.step->work), op.host);
    case ClockOp::Kind::kRecord:
      if (op.lane == kCompute) flush();
      now_->events[static_cast<std::size_t>(op.event)] = lanes()[op.lane];
      return true;
    case ClockOp::Kind::kWait:
      if (op.lane == kCompute) flush();
      wait(op.lane, now_->events[static_cast<std::size_t>(op.event)]);
      return true;
    case ClockOp::Kind::kHostWait:
      flush();
      synchronize(now_->events[static_cast<std::size_t>(op.event)]);
      return true;
  }
  return true;
}

template <class A>
bool ClockWalk<A>::advance(std::size_t rank, std::size_t limit) {
  index_ = rank;
  now_ = &ranks[rank];
  const std::vector<StepList::Call>& calls = fixed_[rank].rank->steps.calls();
  const std::pair before{now_->call, now_->at};
  const std::uint64_t tasks_before = tasks;
  const auto moved = [&] {
    return tasks != tasks_before || before != std::pair{now_->call, now_->at};
  };
  for (; now_->call < limit; ++now_->call, now_->at = 0) {
    const StepList::Call& call = calls[now_->call];
    const ClockCode& code = *fixed_[rank].passes[call.pass];
    micro_batch_ = call.micro_batch;
    for (; now_->at < code.size(); ++now_->at)
      if (!execute(code[now_->at])) return moved();
  }
  return moved();
}

template <class A>
typename A::Time ClockWalk<A>::finish_step(std::size_t rank) {
  index_ = rank;
  now_ = &ranks[rank];
  flush();
  ++now_->step;
  now_->call = 0;
  Time end{};
  for (const Time& t : lanes()) end = arithmetic.later(end, t);
  return end;
}

template class ClockWalk<Instants>;
template class ClockWalk<Lines>;

}  // namespace rehearse
