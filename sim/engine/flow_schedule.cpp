#include "sim/engine/flow_schedule.hpp"

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

namespace rehearse {

FlowSchedule::FlowSchedule(const std::vector<Transfer>& transfers, std::size_t links,
                           std::size_t lanes, const ClassRates* rates, std::size_t lanes_of_device,
                           std::size_t promise_lanes)
    : transfers_(transfers),
      lanes_(lanes + promise_lanes),
      events_(static_cast<std::uint32_t>(lanes)),
      links_(std::vector<double>(links, 1.0), lanes),
      busy_(links, 0),
      newest_(links, 0),
      guards_(links),
      rates_(rates),
      lanes_of_device_(lanes_of_device),
      is_touched_(lanes / lanes_of_device + 1, false),
      classed_(lanes / lanes_of_device + 1, 0) {
  device_guards_.resize(classed_.size());
}

FlowSchedule::Id FlowSchedule::push(std::size_t lane, const Flow& flow) {
  const auto id = static_cast<Id>(flows_.size());
  flows_.push_back(flow);
  flows_.back().lane = static_cast<std::uint32_t>(lane);
  lanes_[lane].flows.push_back(id);
  return id;
}

FlowSchedule::Id FlowSchedule::add(std::size_t lane, const Ready& ready, std::int64_t time,
                                   TransferId transfer, TaskClass cls) {
  Flow flow;
  flow.ready = ready;
  flow.time = time;
  flow.transfer = transfer;
  flow.cls = rates_ == nullptr ? kIndependentTasks : cls;
  const Id id = push(lane, flow);
  if (lanes_[lane].size() == 1) schedule(lane);
  return id;
}

FlowSchedule::Id FlowSchedule::add_running(std::size_t lane, std::int64_t begin, std::int64_t time,
                                           TransferId transfer, TaskClass cls) {
  Flow flow;
  flow.time = time;
  flow.transfer = transfer;
  flow.cls = rates_ == nullptr ? kIndependentTasks : cls;
  const Id id = push(lane, flow);
  if (lanes_[lane].size() > 1) throw std::logic_error("a lane does two things at a time");
  run(id, begin);
  return id;
}

FlowSchedule::Id FlowSchedule::guard(std::size_t lane, std::int64_t begin, std::int64_t end,
                                     TransferId links) {
  Flow flow;
  flow.ready.at = begin;
  flow.time = end - begin;
  flow.transfer = links;
  flow.kind = Kind::kGuard;
  const Id id = push(lane, flow);
  if (lanes_[lane].size() > 1) throw std::logic_error("a lane does two things at a time");
  schedule(lane);
  return id;
}

// The lane's first flow, which has not begun.
void FlowSchedule::schedule(std::size_t lane) {
  const Id id = lanes_[lane].front();
  Flow& f = flows_[id];
  if (!settle(f.ready)) {
    lanes_[lane].follower =
        std::exchange(flows_[f.ready.after].follower, static_cast<std::uint32_t>(lane));
    return;
  }
  late_ |= f.ready.at < now_;
  if (f.ready.at <= now_ && f.kind == Kind::kFlow) return run(id, now_);
  f.state = State::kScheduled;
  if (cleared_ == f.lane) cleared_ = kNone;
  events_.set(f.lane, std::max(f.ready.at, now_), id);
}

void FlowSchedule::run(Id id, std::int64_t since) {
  Flow& f = flows_[id];
  Lane& lane = lanes_[f.lane];
  f.start = since;
  f.state = State::kRunning;
  std::int64_t end = 0;
  if (__builtin_add_overflow(since, f.time, &end))
    throw std::overflow_error("simulated time passes 106 days");
  if (cleared_ == f.lane) cleared_ = kNone;
  events_.set(f.lane, end, id);
  if (f.kind == Kind::kGuard || f.time == 0) return;
  lane.left = Work{f.time, 0};
  lane.settled = since;
  lane.rate = lane.of_class = kFullRate;
  lane.running = true;
  lane.cls = f.cls;
  if (f.cls != kIndependentTasks) {
    touch(f.lane);
    break_all(*guards_of_device(f.lane));
  }
  if (f.takes_links()) come(f.lane, transfers_[f.transfer]);
}

// The lane's flow, which has a class, begins or ends: those of its device go at other rates from
// now on.
void FlowSchedule::touch(std::uint32_t lane) {
  const std::size_t device = lane / lanes_of_device_;
  classed_[device] ^= 1U << lane % lanes_of_device_;
  if (is_touched_[device]) return;
  is_touched_[device] = true;
  touched_.push_back(device);
  changed_ = true;
}

void FlowSchedule::come(std::uint32_t lane, const Transfer& t) {
  bool alone = true;
  for (const Crossing& c : t.crossings) {
    alone &= t.demand * c.weight <= 1;  // a flow of several GPUs may fill a link itself
    if (busy_[c.link]++ > 0) {
      alone = false;
      if (lanes_[newest_[c.link]].alone) share(newest_[c.link]);
    }
    newest_[c.link] = lane;
    break_all(guards_[c.link]);
  }
  lanes_[lane].alone = alone;
  if (!alone) share(lane);
}

void FlowSchedule::break_all(std::vector<Id>& guards) {
  while (!guards.empty()) {
    const Id guard = guards.back();
    leave(guard);
    broken_.push_back(guard);
  }
}

// Another is on one of its links.
void FlowSchedule::share(std::uint32_t lane) {
  lanes_[lane].alone = false;
  const Transfer& t = transfers_[flows_[lanes_[lane].front()].transfer];
  links_.begin(lane, t.crossings, t.demand * lanes_[lane].of_class / kFullRate);
  joined_.push_back(lane);
  changed_ = true;
}

// A guard is over, or broken.
void FlowSchedule::leave(Id id) {
  Flow& f = flows_[id];
  if (f.transfer != kNoTransfer)
    for (const Crossing& c : transfers_[f.transfer].crossings) std::erase(guards_[c.link], id);
  if (auto* of_device = guards_of_device(f.lane)) std::erase(*of_device, id);
  f.state = State::kEnded;
  f.end = now_;
  lanes_[f.lane].pop();
  clear(f.lane);
}

// Its event is over. What comes next is mostly on the same lane, and then that needs one change.
void FlowSchedule::clear(std::uint32_t lane) {
  if (cleared_ != kNone) events_.clear(cleared_);
  cleared_ = lane;
}

std::optional<FlowSchedule::Event> FlowSchedule::begin(Id id) {
  Flow& f = flows_[id];
  if (f.kind == Kind::kFlow) {
    run(id, now_);
    return {};
  }
  const auto for_each_guarded = [&](const auto& visit) {  // guards, and whether flows are there
    if (f.transfer != kNoTransfer)
      for (const Crossing& c : transfers_[f.transfer].crossings)
        visit(guards_[c.link], busy_[c.link] > 0);
    if (auto* of_device = guards_of_device(f.lane))
      visit(*of_device, classed_[f.lane / lanes_of_device_] != 0);
  };
  bool taken = false;
  for_each_guarded(
      [&](const std::vector<Id>& guards, bool busy) { taken |= busy || !guards.empty(); });
  if (taken) {
    for_each_guarded([&](std::vector<Id>& guards, bool) { break_all(guards); });
    leave(id);
    return Event{id, true};
  }
  for_each_guarded([&](std::vector<Id>& guards, bool) { guards.push_back(id); });
  run(id, now_);
  return {};
}

FlowSchedule::Event FlowSchedule::finish(Id id) {
  Flow& f = flows_[id];
  if (f.kind == Kind::kGuard) {
    leave(id);
    return {id, false};
  }
  Lane& lane = lanes_[f.lane];
  if (std::exchange(lane.running, false) && f.cls != kIndependentTasks) touch(f.lane);
  f.state = State::kEnded;
  f.end = now_;
  clear(f.lane);
  lane.pop();
  if (f.takes_links()) {
    if (!std::exchange(lane.alone, false)) {
      links_.end(f.lane);
      changed_ = true;
    }
    for (const Crossing& c : transfers_[f.transfer].crossings) --busy_[c.link];
  }
  if (lane.size() > 0) {
    Flow& following = flows_[lane.front()];
    following.ready.at = std::max(following.ready.at, now_);
    schedule(f.lane);
  }
  follow(id);
  return {id, false};
}

// Schedules what has waited for that alone.
void FlowSchedule::follow(Id ended) {
  std::uint32_t lane = std::exchange(flows_[ended].follower, kNone);
  while (lane != kNone) {
    const std::uint32_t next = std::exchange(lanes_[lane].follower, kNone);
    schedule(lane);
    lane = next;
  }
}

FlowSchedule::Id FlowSchedule::promise(std::size_t lane) {
  Flow flow;
  flow.kind = Kind::kPromise;
  return push(lane, flow);
}

void FlowSchedule::fulfil(Id promise, std::int64_t end) {
  Flow& f = flows_[promise];
  if (lanes_[f.lane].front() != promise) throw std::logic_error("a promise before its time");
  f.state = State::kEnded;
  f.end = end;
  lanes_[f.lane].pop();
  follow(promise);
}

void FlowSchedule::change_rate(std::uint32_t l, RateParts rate) {
  Lane& lane = lanes_[l];
  if (rate == lane.rate) return;
  lane.left.advance(now_ - lane.settled, lane.rate);
  lane.settled = now_;
  lane.rate = rate;
  std::int64_t end = 0;
  if (__builtin_add_overflow(now_, lane.left.time_left(rate), &end))
    throw std::overflow_error("simulated time passes 106 days");
  events_.set(l, end, lane.front());
}

// Of a lane whose flow shares links.
void FlowSchedule::settle_shared(std::uint32_t l) {
  const Lane& lane = lanes_[l];
  if (!lane.running || lane.alone) return;
  const Flow& f = flows_[lane.front()];
  if (!f.takes_links()) return;
  const double share = links_.rate(l) / transfers_[f.transfer].demand;
  change_rate(l, std::min(lane.of_class, to_rate_parts(share)));
}

void FlowSchedule::settle_classes(std::size_t device) {
  is_touched_[device] = false;
  const std::uint32_t all = classed_[device];
  const auto first = static_cast<std::uint32_t>(device * lanes_of_device_);
  const auto for_each = [&](std::uint32_t lanes, const auto& visit) {
    for (; lanes != 0; lanes &= lanes - 1)
      visit(first + static_cast<std::uint32_t>(std::countr_zero(lanes)));
  };
  for_each(all, [&](std::uint32_t l) {
    Lane& lane = lanes_[l];
    RateParts least = kFullRate;
    for_each(all & ~(1U << (l - first)), [&](std::uint32_t other) {
      least = std::min(least, rates_->at(lane.cls, lanes_[other].cls));
    });
    const Flow& f = flows_[lane.front()];
    const bool shares = f.takes_links() && !lane.alone;
    if (shares && least != lane.of_class)
      links_.set_cap(l, transfers_[f.transfer].demand * least / kFullRate);
    lane.of_class = least;
    if (!shares) change_rate(l, least);
  });
}

// As Interference does it.
void FlowSchedule::settle_rates() {
  for (const std::size_t device : touched_) settle_classes(device);
  touched_.clear();
  for (const FlowId l : links_.solve()) settle_shared(l);
  // One that came when its lane's last, over the same links, ended has not changed these.
  for (const std::uint32_t l : joined_) settle_shared(l);
  joined_.clear();
  changed_ = false;
}

void FlowSchedule::describe(const Ready& r, std::vector<std::int64_t>& out) const {
  out.push_back(to_come(r.at));
  describe(r.after, out);
  out.push_back(r.after == kNone ? 0 : r.plus);
}

void FlowSchedule::describe(Id flow, std::vector<std::int64_t>& out) const {
  if (flow == kNone) {
    out.push_back(-1);
    return;
  }
  const Flow& f = flows_[flow];
  const Lane& lane = lanes_[f.lane];
  const auto first = lane.flows.begin() + static_cast<std::ptrdiff_t>(lane.first);
  out.push_back(f.lane);
  out.push_back(std::find(first, lane.flows.end(), flow) - first);
}

void FlowSchedule::describe(std::vector<std::int64_t>& out) const {
  out.push_back(changed_);
  for (std::uint32_t l = 0; l < lanes_.size(); ++l) {
    const Lane& lane = lanes_[l];
    if (lane.size() == 0) continue;
    out.push_back(l);
    out.push_back(static_cast<std::int64_t>(lane.size()));
    for (std::size_t i = lane.first; i < lane.flows.size(); ++i) {
      const Flow& f = flows_[lane.flows[i]];
      describe(f.ready, out);
      out.insert(out.end(),
                 {f.time, static_cast<std::int64_t>(f.transfer), static_cast<std::int64_t>(f.kind),
                  static_cast<std::int64_t>(f.state)});
    }
    const Flow& first = flows_[lane.front()];
    if (first.state == State::kWaiting) continue;
    out.push_back(events_.at(l).time_ps() - now_);
    if (lane.running)
      out.insert(out.end(), {lane.left.whole_ps, lane.left.billionths, now_ - lane.settled,
                             std::int64_t{lane.rate}, std::int64_t{lane.of_class}, lane.alone});
  }
}

void FlowSchedule::shift(std::int64_t ps) {
  if (__builtin_add_overflow(now_, ps, &now_))
    throw std::overflow_error("simulated time passes 106 days");
  for (std::uint32_t l = 0; l < lanes_.size(); ++l) {
    Lane& lane = lanes_[l];
    lane.settled += ps;
    for (std::size_t i = lane.first; i < lane.flows.size(); ++i) {
      flows_[lane.flows[i]].ready.at += ps;
      flows_[lane.flows[i]].start += ps;
    }
    if (lane.size() == 0 || flows_[lane.front()].state == State::kWaiting) continue;
    const Completion event = events_.at(l);
    if (event.time_ps() != CompletionTree::kNever)
      events_.set(l, event.time_ps() + ps, event.task());
  }
}

std::optional<FlowSchedule::Event> FlowSchedule::next() {
  for (;;) {
    if (!broken_.empty()) {
      const Id id = broken_.back();
      broken_.pop_back();
      return Event{id, true};
    }
    if (cleared_ != kNone) events_.clear(std::exchange(cleared_, kNone));
    if (changed_ && events_.first().time_ps() != now_) settle_rates();
    const Completion first = events_.first();
    if (first.time_ps() == CompletionTree::kNever) return {};
    now_ = first.time_ps();
    const Id id = first.task();
    if (flows_[id].state == State::kRunning) return finish(id);
    if (const auto event = begin(id)) return event;
  }
}

}  // namespace rehearse
