#include "strategies/timed_clocks.hpp"

#include <stdexcept>

namespace rehearse {

bool TimedClocks::block(Flow on) {
  (run != nullptr ? run->blocked_on : now->blocked_on) = on;
  const auto waiter = static_cast<std::uint32_t>(waiters_.size());
  waiters_.push_back(
      {static_cast<std::uint32_t>(index), std::exchange(owners_[on].last_waiter, waiter)});
  return false;
}

bool TimedClocks::free(std::size_t l) {
  TimedLane& of = lane(l);
  Flow& last = run != nullptr && l == kCompute ? run->working : of.last;
  if (last == kNoFlow) return true;
  if (!flows.ended(last)) return false;
  of.free = flows.end(last);
  last = kNoFlow;
  return true;
}

bool TimedClocks::known(std::size_t l) {
  if (!free(l)) return block(last(l));
  return flows.settle(waits(l)) || block(waits(l).after);
}

bool TimedClocks::join(Ready& to, Ready more) {
  flows.settle(more);
  flows.settle(to);
  if (more.after != kNoFlow && to.after != kNoFlow && to.after != more.after)
    return block(to.after);
  to.at = std::max(to.at, more.at);
  if (more.after == kNoFlow) return true;
  to.plus = to.after == kNoFlow ? more.plus : std::max(to.plus, more.plus);
  to.after = more.after;
  return true;
}

bool TimedClocks::mark(std::size_t l, Ready& out) {
  out = waits(l);
  return join(out, free(l) ? Ready{lane(l).free, kNoFlow, 0} : Ready{0, last(l), 0});
}

std::int64_t TimedClocks::issue(std::int64_t time, std::int64_t lag) {
  const std::int64_t before = host();
  if (time > 0) {
    ++tasks;
    host() += time;
    ended(index, step(), host());
  }
  if (lag == 0) return before;
  ++tasks;
  return before + lag;
}

void TimedClocks::wait_for_issue(std::size_t l, std::int64_t time) {
  const std::int64_t issued = issue(time);
  Ready& w = waits(l);
  flows.settle(w);
  wait_for_host(issued > std::max(w.at, flows.now()));
  w.at = std::max(w.at, issued);
}

void TimedClocks::place(std::int64_t time, std::int64_t after, const Slowdowns& slowdowns) {
  TimedLane& of = lane(kCompute);
  const std::int64_t otherwise = std::max(of.free, std::exchange(waits(kCompute), Ready{}).at);
  const std::int64_t start = std::max(otherwise, after);
  ++tasks;
  wait_for_host(after > otherwise);
  if (!classes || start + time <= flows.now()) {
    finish_work(start, time);
    return;
  }
  const std::optional<TaskClass> cls = classes->of(slowdowns);
  too_many_classes |= !cls;
  const std::size_t on = index * kClockLanes + kWorkLane;
  const TaskClass known = cls.value_or(kForegroundTasks);
  // A run that is taken apart has gone on undisturbed up to now.
  run->working = start < flows.now() ? flows.add_running(on, start, time, kNoTransfer, known)
                                     : flows.add(on, {start, kNoFlow, 0}, time, kNoTransfer, known);
  own(run->working);
}

void TimedClocks::pass(const Run& merged) {
  const std::int64_t after = issue(merged.host, merged.lag());
  if (merged.duration == 0) return;
  const std::int64_t otherwise =
      std::max(lane(kCompute).free, std::exchange(waits(kCompute), Ready{}).at);
  wait_for_host(after > otherwise);
  ++tasks;
  finish_work(std::max(otherwise, after), merged.duration);
}

void TimedClocks::finish_work(std::int64_t start, std::int64_t time) {
  std::int64_t& free = lane(kCompute).free;
  if (__builtin_add_overflow(start, time, &free))
    throw std::overflow_error("simulated time passes 106 days");
  ended(index, step(), free);
}

void TimedClocks::move(std::size_t l, std::int64_t time, TransferId transfer) {
  TimedLane& of = lane(l);
  ++tasks;
  Ready ready = std::exchange(waits(l), Ready{});
  const bool starts = free(l) && flows.settle(ready);
  const std::int64_t start = std::max(of.free, ready.at);
  // A run that is taken apart has gone on undisturbed up to now.
  const bool past = starts && run != nullptr && start < flows.now();
  const bool passed = past && start + time <= flows.now();
  const bool slowed = classes || transfer != kNoTransfer;
  if (starts && (time == 0 || !slowed || passed)) {
    of.free = start + time;
    ended(index, step(), of.free);
    return;
  }
  const std::size_t on = index * kClockLanes + l;
  const bool kernels = l == static_cast<std::size_t>(StreamKind::kCopy);
  const TaskClass cls = kernels ? kForegroundTasks : kBackgroundTasks;
  if (past) {
    of.last = flows.add_running(on, start, time, transfer, cls);
  } else {
    ready.at = std::max(ready.at, of.free);
    of.last = flows.add(on, ready, time, transfer, cls);
  }
  own(of.last);
}

void TimedClocks::own(Flow flow) {
  const Owner owner{static_cast<std::uint32_t>(index), step(), kNobody};
  if (flow == owners_.size())
    owners_.push_back(owner);
  else
    owners_[flow] = owner;
}

void TimedClocks::ended(Flow flow) {
  const Owner& of = owners_[flow];
  ended(of.rank, of.step, flows.now());
  std::int64_t& first = first_starts_[static_cast<std::size_t>(of.step)];
  first = std::min(first, flows.start(flow));
}

std::optional<std::int64_t> TimedClocks::first_start(int step) const {
  bool done = true;  // what was before
  std::int64_t first = first_starts_[static_cast<std::size_t>(step)];
  flows.for_each_open([&](Flow f) {
    done &= owners_[f].step >= step;
    if (flows.under_way(f) && owners_[f].step == step) first = std::min(first, flows.start(f));
  });
  if (!done) return {};
  return first;
}

void TimedClocks::tell(Flow flow) {
  std::uint32_t waiter = std::exchange(owners_[flow].last_waiter, kNobody);
  for (; waiter != kNobody; waiter = waiters_[waiter].next) {
    TimedRank& rank = ranks[waiters_[waiter].rank];
    if (rank.blocked_on == flow) rank.blocked_on = kNoFlow;
    if (!rank.runs.empty() && rank.runs.front().blocked_on == flow)
      rank.runs.front().blocked_on = kNoFlow;
    awake.push_back(waiters_[waiter].rank);
  }
}

}  // namespace rehearse
