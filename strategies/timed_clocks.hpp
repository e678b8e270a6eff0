#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "strategies/slowdown_classes.hpp"
#include "strategies/timed_rank.hpp"
#include "strategies/transfers.hpp"

namespace rehearse {

// The clocks of ranks that are walked in order of time, and what each of those waits for. What is
// done is done by the rank that the walk has turned to: in the order of its program, or, where it
// goes on with a run that it has issued, in that run's.
//
// A function that says false has done nothing but note for which flow the rank, or its run, waits;
// what it is part of is done again when that flow has ended.
class TimedClocks {
 public:
  using Flow = FlowSchedule::Id;
  using Ready = FlowSchedule::Ready;
  static constexpr Flow kNoFlow = FlowSchedule::kNone;
  static constexpr std::uint32_t kNobody = static_cast<std::uint32_t>(-1);
  static constexpr auto kCompute = static_cast<std::size_t>(StreamKind::kCompute);
  // Where the compute stream has its flows and guards: in its place are the promises of its runs.
  static constexpr std::size_t kWorkLane = kHostLane;

  TimedClocks(const Program& program, const Cluster& cluster, int steps, const Prices& prices)
      : transfers(program, cluster, prices),
        classes(classes_of(cluster)),
        flows(transfers.all(), transfers.network().links(), program.ranks.size() * kClockLanes,
              classes ? &classes->rates() : nullptr, kClockLanes,
              program.ranks.size() * kGroupKinds),
        ranks(program.ranks.size()),
        ends(static_cast<std::size_t>(steps), std::vector<std::int64_t>(program.ranks.size(), 0)),
        launch_latency_(prices.launch_latency()),
        first_starts_(ends.size(), std::numeric_limits<std::int64_t>::max()) {}

  // A rank is turned to: `issued` where it goes on with that run of its, beside its program.
  void turn_to(std::size_t rank, IssuedRun* issued = nullptr) {
    now = &ranks[rank];
    index = rank;
    run = issued;
  }

  int step() const { return run != nullptr ? run->step : now->step; }
  std::int64_t& host() { return run != nullptr ? run->host : now->host; }
  // A task could have started, had the host issued it.
  void wait_for_host(bool waits) {
    now->waited_for_host[static_cast<std::size_t>(step())] += waits;
  }
  TimedLane& lane(std::size_t l) { return now->lanes[l]; }
  // What the next task of a lane waits for.
  Ready& waits(std::size_t l) {
    return run != nullptr && l == kCompute ? run->waits : now->lanes[l].waits;
  }

  bool block(Flow on);
  // When a lane is free is known; what it waits for may not be.
  bool free(std::size_t l);
  // When the lane's next task can start is known.
  bool known(std::size_t l);
  // Adds what a time waits for; not where two flows have yet to end.
  bool join(Ready& to, Ready more);
  // When what a lane has been given is done; not where two flows have yet to end.
  bool mark(std::size_t l, Ready& out);

  // The host issues something: when that may start, `lag` after it began to.
  std::int64_t issue(std::int64_t time, std::int64_t lag);
  std::int64_t issue(std::int64_t time) { return issue(time, time + launch_latency_); }
  // It issues a lane's next task, of which more may not be known yet than that.
  void wait_for_issue(std::size_t l, std::int64_t time);
  // A kernel, or several merged, on the compute stream, of which everything is known.
  void place(std::int64_t time, std::int64_t after, const Slowdowns& slowdowns);
  void place(const Run& merged, const Slowdowns& slowdowns) {
    const std::int64_t after = issue(merged.host, merged.lag());
    if (merged.duration > 0) place(merged.duration, after, slowdowns);
  }
  // The same of what nothing disturbs.
  void pass(const Run& merged);
  // A task on a lane that takes of links, or comes after what does.
  void move(std::size_t l, std::int64_t time, TransferId transfer);

  // The flow belongs to the rank that the walk has turned to.
  void own(Flow flow);
  void ended(std::size_t rank, int step, std::int64_t time) {
    std::int64_t& end = ends[static_cast<std::size_t>(step)][rank];
    end = std::max(end, time);
  }
  // One of its flows has ended.
  void ended(Flow flow);
  // When the first of a step's flows began, of those that have; nothing: flows of a step before
  // have yet to end.
  std::optional<std::int64_t> first_start(int step) const;
  // Wakes who has waited for a flow.
  void tell(Flow flow);

  struct Owner {
    std::uint32_t rank = 0;
    int step = 0;
    std::uint32_t last_waiter = kNobody;  // of waiters_
  };
  const Owner& owner(Flow flow) const { return owners_[flow]; }

  Transfers transfers;
  std::optional<SlowdownClasses> classes;  // where kernels and collectives slow each other
  bool too_many_classes = false;           // times are not to be relied on
  FlowSchedule flows;
  std::vector<TimedRank> ranks;
  std::vector<std::vector<std::int64_t>> ends;  // by step and rank
  std::vector<std::size_t> awake;               // ranks that may get further
  std::uint64_t tasks = 0;
  // What the walk has turned to.
  TimedRank* now = nullptr;
  std::size_t index = 0;
  IssuedRun* run = nullptr;

 private:
  static std::optional<SlowdownClasses> classes_of(const Cluster& cluster) {
    if (!cluster.gpu.beside.interferes()) return {};
    return SlowdownClasses(cluster.gpu.beside);
  }
  void finish_work(std::int64_t start, std::int64_t time);
  // What is still to end before the lane is free.
  Flow last(std::size_t l) { return run != nullptr && l == kCompute ? run->working : lane(l).last; }

  struct Waiter {
    std::uint32_t rank = 0;
    std::uint32_t next = kNobody;  // of the same flow
  };

  std::int64_t launch_latency_;
  std::vector<std::int64_t> first_starts_;  // by step: of flows that have ended
  std::vector<Owner> owners_;
  std::vector<Waiter> waiters_;
};

}  // namespace rehearse
