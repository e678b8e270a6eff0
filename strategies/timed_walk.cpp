#include "strategies/timed_walk.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "strategies/lowering_sinks.hpp"
#include "strategies/phases.hpp"
#include "strategies/timed_groups.hpp"
#include "strategies/timed_periods.hpp"
#include "strategies/timed_steps.hpp"

namespace rehearse {
namespace {

// So many runs may be issued that have not ended: what comes after them may start before they end.
constexpr std::size_t kAhead = 3;

class TimedWalk : private TimedClocks {
 public:
  TimedWalk(const Program& program, const Cluster& cluster, int steps, Prices& prices)
      : TimedClocks(program, cluster, steps, prices),
        program_(program),
        cluster_(cluster),
        steps_(steps),
        codes_(program, cluster, prices, true),
        groups_(*this),
        periods_(*this, groups_.open()),
        last_step_(*this, groups_.open()) {
    for (std::uint32_t r = 0; r < ranks.size(); ++r) ranks[r] = initial(r);
  }

  std::optional<StepTimes> times() {
    if (codes_.exchanges()) return {};
    for (std::size_t r = 0; r < ranks.size(); ++r) awake.push_back(r);
    for (;;) {
      advance_awake();
      if (flows.late() || too_many_classes) return {};
      if (first_goes_on()) {
        if (last_step_.leave_out()) return found();
        periods_.leave_out();
      }
      const auto event = flows.next();
      if (!event) break;
      happen(*event);
    }
    for (const TimedRank& r : ranks)
      if (r.step < steps_)
        throw std::logic_error("the program's ranks wait for each other for ever");
    return found();
  }

 private:
  // Whether the first rank has come to another call since all that was broken had been told.
  bool first_goes_on() {
    const std::pair here{ranks.front().step, ranks.front().call};
    return !flows.breaking() && std::exchange(looked_at_, here) != here;
  }
  StepTimes found() const {
    StepTimes out =
        slowest_step(program_, ends.back(),
                     ends.size() > 1 ? ends[ends.size() - 2] : std::vector<std::int64_t>{});
    out.tasks = tasks;
    return out;
  }
  TimedRank initial(std::uint32_t number) {
    TimedRank out;
    const RankProgram& rank = program_.ranks[number];
    const auto meets = [&](GroupKind g) {
      return rank.groups[static_cast<std::size_t>(g)].size() > 1;
    };
    out.rank = &rank;
    out.apart =
        meets(GroupKind::kTensor) || meets(GroupKind::kContext) || meets(GroupKind::kExpert);
    out.events.resize(static_cast<std::size_t>(rank.events));
    out.waited_for_host.resize(static_cast<std::size_t>(steps_) + 1, 0);
    out.runs.reserve(kAhead);
    out.stretches = long_stretches(rank.steps);
    const bool apart = classes || out.apart || transfers.network().inside_meets();
    std::vector<TransferId> inside;
    for (std::uint32_t p = 0; p < rank.steps.passes(); ++p) {
      out.passes.push_back(&codes_.of(rank.steps.pass(p), rank.machine, apart));
      for (const ClockOp& op : *out.passes.back())
        if (op.apart != nullptr)
          for (const ClockOp& in : *op.apart)
            if (in.collective >= 0) inside.push_back(transfers.collective(number, in.collective));
    }
    std::sort(inside.begin(), inside.end());
    inside.erase(std::unique(inside.begin(), inside.end()), inside.end());
    out.inside = transfers.any_of(inside);
    return out;
  }

  void advance_awake() {
    while (!awake.empty()) {
      const std::size_t rank = awake.back();
      awake.pop_back();
      go_on(rank);
      turn_to(rank);
      advance();
    }
  }

  void happen(const FlowSchedule::Event& event) {
    const Owner of = owner(event.id);
    TimedRank& rank = ranks[of.rank];
    if (!rank.runs.empty() && rank.runs.front().guard == event.id) {
      turn_to(of.rank, &rank.runs.front());
      run->guard = kNoFlow;
      if (event.broken)
        take_apart();
      else
        finish(run->guarded);
      awake.push_back(of.rank);
    } else {
      ended(event.id);
    }
    tell_all(event.id);
  }
  // Wakes who, and which collective, has waited for a flow.
  void tell_all(Flow flow) {
    tell(flow);
    groups_.tell(flow);
  }
  static Run joined(const std::vector<const ClockOp*>& ops, std::size_t n) {
    Run out;
    for (std::size_t i = 0; i < n; ++i) out = out.then(ops[i]->run);
    return out;
  }
  // Of a part of the run, if nothing disturbs it.
  std::int64_t end_of(const Run& part) {
    const std::int64_t after = run->host + part.lag();
    return std::max({lane(kCompute).free, run->waits.at, after}) + part.duration;
  }
  // The first `n` of a run's have run, undisturbed.
  void finish(std::size_t n) {
    pass(gathered_with(n));
    run->kernels = {};
    run->ops.erase(run->ops.begin(), run->ops.begin() + static_cast<std::ptrdiff_t>(n));
  }
  Run gathered_with(std::size_t n) const { return run->kernels.then(joined(run->ops, n)); }
  // Something has come while they were under way, or had been there when they began.
  void take_apart() {
    Run part = run->kernels;
    run->disturbed = true;
    if (gathers_kernels() && end_of(part) > flows.now()) return;
    std::size_t done = 0;
    for (; done < run->ops.size(); ++done) {
      part = part.then(run->ops[done]->run);
      if (end_of(part) > flows.now()) break;
    }
    if (done > 0 || gathers_kernels()) finish(done);
  }

  // What was gathered is issued; false: so much has been that it has to wait.
  bool flush() {
    if (now->gathered.empty()) return true;
    if (!classes && now->runs.empty() && free(kCompute) && flows.settle(waits(kCompute)) &&
        std::none_of(now->gathered.begin(), now->gathered.end(),
                     [&](const ClockOp* op) { return meets(*op); })) {
      pass(joined(now->gathered, now->gathered.size()));
      now->gathered.clear();
      return true;
    }
    if (now->runs.size() >= kAhead) return block(now->runs.front().promise);
    IssuedRun issued;
    issued.ops = std::exchange(now->gathered, std::exchange(now->spare, {}));
    issued.step = now->step;
    issued.host = now->host;
    issued.waits = std::exchange(lane(kCompute).waits, Ready{});
    free(kCompute);
    issued.promise = flows.promise(index * kClockLanes + kCompute);
    own(issued.promise);
    lane(kCompute).last = issued.promise;
    for (const ClockOp* op : issued.ops) now->host += op->run.host;
    now->runs.push_back(std::move(issued));
    if (now->runs.size() > 1) return true;
    const std::size_t rank = index;
    go_on(rank);
    turn_to(rank);
    return true;
  }
  // Whether something inside a run of segments may have to do with others.
  bool meets(const ClockOp& op) const {
    return op.apart != nullptr && (now->apart || now->inside != kNoTransfer);
  }
  // A rank's issued runs, as far as they get.
  void go_on(std::size_t rank) {
    while (!ranks[rank].runs.empty()) {
      turn_to(rank, &ranks[rank].runs.front());
      if (run->guard != kNoFlow || run->blocked_on != kNoFlow || !go_on()) return;
      const Flow done = run->promise;
      const std::int64_t end = lane(kCompute).free;
      ended(index, run->step, end);
      now->spare = std::move(run->ops);
      now->spare.clear();
      now->runs.erase(now->runs.begin());
      run = nullptr;
      flows.fulfil(done, end);
      tell_all(done);
    }
  }
  bool go_on() {
    for (;;) {
      if (run->apart != nullptr) {
        if (!walk_apart()) return false;
        run->apart = nullptr;
        run->disturbed = false;
      }
      if (!classes && !pass_kernels()) return false;
      if (run->ops.empty()) break;
      if (!now->apart && !run->disturbed) {
        if (!known(kCompute)) return false;
        if (guard()) return false;
      }
      const ClockOp& op = *run->ops.front();
      if (op.apart == nullptr && !add_kernels(op)) return false;
      run->apart = op.apart;
      run->at = 0;
      run->disturbed &= op.apart != nullptr;
      run->ops.erase(run->ops.begin());
    }
    return place_kernels() && (free(kCompute) || block(run->working));
  }
  // Where work does not slow other work: kernels, and what meets nothing, have run when they have
  // begun.
  bool pass_kernels() {
    std::size_t n = 0;
    while (n < run->ops.size() && !meets(*run->ops[n])) ++n;
    if (n == 0 && !gathers_kernels()) return true;
    if (!known(kCompute)) return false;
    finish(n);
    return true;
  }
  // What follows is one task, for as long as nothing comes beside it. False: something has begun
  // already, or work of its own slows other work of it.
  bool guard() {
    run->guarded = 0;
    while (run->guarded < run->ops.size() && !(classes && run->ops[run->guarded]->overlaps))
      ++run->guarded;
    const std::int64_t begin = std::max({lane(kCompute).free, run->waits.at, run->host});
    if (run->guarded == 0 || begin < flows.now()) return false;
    run->guard = flows.guard(index * kClockLanes + kWorkLane, begin,
                             end_of(gathered_with(run->guarded)), now->inside);
    own(run->guard);
    return true;
  }
  bool walk_apart() {
    const ClockCode& code = *run->apart;
    for (; run->at < code.size(); ++run->at) {
      const ClockOp& op = code[run->at];
      if (!(op.kind == ClockOp::Kind::kRun ? add_kernels(op) : inside(op))) return false;
    }
    return true;
  }
  bool gathers_kernels() const {
    return run->kernels.host > 0 || run->kernels.latest > 0 || run->kernels.duration > 0;
  }
  // To those that have no task yet, where all may be one.
  bool add_kernels(const ClockOp& op) {
    const bool alike = !run->single && !op.single && run->slowdowns == op.slowdowns;
    if (gathers_kernels() && !alike && !place_kernels()) return false;
    run->kernels = run->kernels.then(op.run);
    run->slowdowns = op.slowdowns;
    run->single = op.single;
    return true;
  }
  bool place_kernels() {
    if (!gathers_kernels()) return true;
    if (!known(kCompute)) return false;
    place(std::exchange(run->kernels, Run{}), run->slowdowns);
    return true;
  }

  // mark() will succeed.
  bool marks(std::size_t l) {
    Ready done;
    return mark(l, done);
  }

  // A collective of a segment.
  bool inside(const ClockOp& op) {
    if (!(run != nullptr ? place_kernels() : flush())) return false;
    if (!known(kCompute) || !known(op.lane)) return false;
    const std::int64_t issued = issue(op.host), free = lane(kCompute).free;
    Ready& w = waits(kCompute);
    wait_for_host(issued > std::max(free, w.at));
    w.at = std::max(w.at, issued);
    waits(op.lane).at = std::max({waits(op.lane).at, free, w.at});
    meet(op);
    if (op.kind == ClockOp::Kind::kOverlap) place(op.beside, issue(op.beside_host), op.slowdowns);
    Ready done;
    return mark(op.lane, done) && join(waits(kCompute), done);
  }

  // A collective, on its lane once all of the group have come to it. Precondition: mark() of the
  // lane succeeds.
  void meet(const ClockOp& op) {
    if (now->members(op.group).size() > 1) waits(op.lane) = groups_.join(op.group, op.lane);
    move(op.lane, op.time, transfers.collective(static_cast<std::uint32_t>(index), op.collective));
  }
  std::int32_t peer(std::int32_t pipeline_rank) const {
    return now->members(GroupKind::kPipeline)[static_cast<std::size_t>(pipeline_rank)];
  }
  std::uint32_t tag(std::uint32_t of_pass) const {
    return of_pass + static_cast<std::uint32_t>(now->micro_batch);
  }
  const TimedRank::Route& route(std::int32_t other, Bytes bytes, bool outward) {
    auto& routes = outward ? now->outward : now->inward;
    for (const TimedRank::Route& r : routes)
      if (r.peer == other && r.bytes == bytes) return r;
    const auto there = static_cast<std::size_t>(other);
    const auto [occupied, latency] = outward
                                         ? message_time(program_, cluster_, index, there, bytes)
                                         : message_time(program_, cluster_, there, index, bytes);
    const TransferId transfer =
        outward ? transfers.message(static_cast<std::uint32_t>(index),
                                    static_cast<std::uint32_t>(other), bytes, occupied)
                : kNoTransfer;
    routes.push_back({other, bytes, occupied, latency, transfer});
    return routes.back();
  }

  bool send(const Send& s, std::int64_t host) {
    if (!flush()) return false;
    const auto l = static_cast<std::size_t>(s.stream);
    wait_for_issue(l, host);
    const std::int32_t to = peer(s.peer);
    const TimedRank::Route& way = route(to, s.bytes, true);
    move(l, way.occupied, way.transfer);
    Ready sent;
    mark(l, sent);
    ranks[static_cast<std::size_t>(to)].inbox.push_back(
        {static_cast<std::int32_t>(index), tag(s.tag), now->step, sent});
    awake.push_back(static_cast<std::size_t>(to));
    return true;
  }

  bool receive(const Receive& r, std::int64_t host) {
    if (!flush()) return false;
    Ready& w = waits(kCompute);
    if (!flows.settle(w)) return block(w.after);
    const std::int32_t from = peer(r.peer);
    auto& inbox = now->inbox;
    const auto it = std::find_if(inbox.begin(), inbox.end(), [&](const auto& m) {
      return m.tag == tag(r.tag) && m.from == from && m.step == now->step;
    });
    if (it == inbox.end()) return false;
    const std::int64_t latency = route(from, r.bytes, false).latency;
    Ready sent = it->sent;
    inbox.erase(it);
    const std::int64_t issued = issue(host);
    const bool is_there = flows.settle(sent);
    wait_for_host(issued > (is_there ? sent.at : std::max(sent.at, flows.now())));
    sent.at = std::max(sent.at, issued) + latency;
    sent.plus += latency;
    ++tasks;
    return join(w, sent);
  }

  // False: the rank waits, and comes to the op again.
  bool execute(const ClockOp& op) {
    switch (op.kind) {
      case ClockOp::Kind::kRun:
        now->gathered.push_back(&op);
        return true;
      case ClockOp::Kind::kKernel:
        if (!flush()) return false;
        wait_for_issue(op.lane, op.host);
        move(op.lane, op.time, kNoTransfer);
        return true;
      case ClockOp::Kind::kCollective:
        if (!flush() || !marks(op.lane)) return false;
        wait_for_issue(op.lane, op.host);
        meet(op);
        return true;
      case ClockOp::Kind::kInside:
      case ClockOp::Kind::kOverlap:
        return inside(op);
      case ClockOp::Kind::kSynchronize:
        if (!flush() || !known(kCompute)) return false;
        issue(op.host, 0);
        return synchronize({std::max(lane(kCompute).free, waits(kCompute).at), kNoFlow, 0});
      case ClockOp::Kind::kSend:
        return send(std::get<Send>(op.step->work), op.host);
      case ClockOp::Kind::kReceive:
        return receive(std::get<Receive>(op.step->work), op.host);
      case ClockOp::Kind::kExchange:
        throw std::logic_error("exchanges are not walked in order of time");
      case ClockOp::Kind::kRecord:
        if (op.lane == kCompute && !flush()) return false;
        return mark(op.lane, now->events[static_cast<std::size_t>(op.event)]);
      case ClockOp::Kind::kWait:
        if (op.lane == kCompute && !flush()) return false;
        return join(waits(op.lane), now->events[static_cast<std::size_t>(op.event)]);
      case ClockOp::Kind::kHostWait:
        return flush() && synchronize(now->events[static_cast<std::size_t>(op.event)]);
    }
    return true;
  }
  bool synchronize(Ready until) {
    if (!flows.settle(until)) return block(until.after);
    now->host = std::max(now->host, until.at);
    ended(index, now->step, now->host);
    ++tasks;
    return true;
  }

  void advance() {
    if (now->blocked_on != kNoFlow) return;
    const std::vector<StepList::Call>& calls = now->rank->steps.calls();
    while (now->step < steps_) {
      for (; now->call < calls.size(); ++now->call, now->at = 0) {
        const ClockCode& code = *now->passes[calls[now->call].pass];
        now->micro_batch = calls[now->call].micro_batch;
        for (; now->at < code.size(); ++now->at)
          if (!execute(code[now->at])) return;
      }
      if (!flush()) return;
      now->call = 0;
      now->issued = now->host;
      ++now->step;
    }
  }

  const Program& program_;
  const Cluster& cluster_;
  int steps_;
  ClockCodes codes_;
  TimedGroups groups_;
  std::pair<int, std::size_t> looked_at_{};  // of the first rank
  TimedPeriods periods_;
  TimedSteps last_step_;
};

}  // namespace

std::optional<StepTimes> timed_step_times(const Program& program, const Cluster& cluster,
                                          const LowerOptions& options, Prices& prices) {
  return TimedWalk(program, cluster, options.steps, prices).times();
}

}  // namespace rehearse
