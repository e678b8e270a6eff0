#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <stdexcept>
#include <utility>
#include <vector>

#include "strategies/clock_code.hpp"

namespace rehearse {

// Times of one walk, in picoseconds.
struct Instants {
  using Time = std::int64_t;
  static Time later(Time a, Time b) { return std::max(a, b); }
  static Time plus(Time a, std::int64_t ps) { return a + ps; }
};

// Times of every period from this one on, as long as they grow evenly: `at` now and `per` more each
// time. The later of two stays the later for ever unless the other grows faster: `horizon` is how
// many periods on all that has been compared so far is still as it is now.
class Lines {
 public:
  struct Time {
    std::int64_t at = 0, per = 0;
    bool operator==(const Time&) const = default;
  };
  Time later(Time a, Time b) {
    if (a.at < b.at || (a.at == b.at && a.per < b.per)) std::swap(a, b);
    if (b.per > a.per) horizon = std::min(horizon, (a.at - b.at) / (b.per - a.per));
    return a;
  }
  static Time plus(Time a, std::int64_t ps) { return {a.at + ps, a.per}; }

  std::int64_t horizon = std::numeric_limits<std::int64_t>::max();
};

// Where a rank is in its steps, and its clocks.
template <class Time>
struct RankClocks {
  struct Message {
    std::int32_t from = 0;
    std::uint32_t tag = 0;
    int step = 0;
    Time sent{};
  };
  std::array<Time, kClockLanes> lanes{};
  std::vector<Time> events;
  std::vector<Message> inbox;
  Run gathered;  // work on the compute stream that has no task yet
  bool gathering = false;
  bool arrived = false;  // at the meeting or exchange of the current instruction
  std::size_t half = 0;  // next of the exchange's messages
  Time arrival{}, received{};
  int step = 0;
  std::size_t call = 0, at = 0;  // next call, and next instruction of it
  std::array<std::uint32_t, kGroupKinds> met{};
};

// What of a rank stays as it is.
struct ClockedRank {
  struct Route {  // to or from a peer
    std::int32_t peer = 0;
    Bytes bytes{0};
    std::int64_t occupied = 0, latency = 0;
  };
  const RankProgram* rank = nullptr;
  std::vector<const ClockCode*> passes;
  std::vector<Route> routes;  // found so far
};

// Walks the ranks of a program through their steps, keeping of every stream only when it is free.
// Like the sweep of lower()'s graph, task by task, in which everything that a task waits for comes
// before it.
template <class Arithmetic>
class ClockWalk {
 public:
  using Time = typename Arithmetic::Time;
  using Clocks = RankClocks<Time>;

  ClockWalk(const Program& program, const Cluster& cluster, const Prices& prices,
            std::vector<ClockedRank>& fixed)
      : program_(program),
        cluster_(cluster),
        launch_latency_(prices.launch_latency()),
        fixed_(fixed),
        meetings_(program.ranks.size() * kGroupKinds) {}

  // Goes on until the rank has done `limit` calls of this step or waits for another. True when it
  // got anywhere.
  bool advance(std::size_t rank, std::size_t limit);
  // The rank has done all calls of its step: its last task's end.
  Time finish_step(std::size_t rank);

  std::vector<Clocks> ranks;
  std::uint64_t tasks = 0;
  Arithmetic arithmetic;

 private:
  // As in LoweringState.
  struct Meeting {
    std::uint32_t number = 0;
    std::size_t arrived = 0;
    Time arrivals{};
  };
  struct Connection {
    struct Awaited {
      std::uint32_t tag = 0;
      int step = 0;
      Time start{};
    };
    std::vector<Awaited> awaited;
    std::int64_t sent = 0;
    std::vector<std::pair<std::int64_t, Time>> received;
  };

  bool execute(const ClockOp& op);
  void flush();
  Time issue(std::int64_t host, std::int64_t lag);
  Time issue(std::int64_t host) { return issue(host, host + launch_latency_); }
  Time place(std::size_t lane, std::int64_t time, Time after);
  void wait(std::size_t lane, Time t) { lanes()[lane] = arithmetic.later(lanes()[lane], t); }
  void synchronize(Time t);
  bool meet(std::size_t lane, GroupKind group, std::int64_t time);
  bool inside(const ClockOp& op);
  void send(const Send& s, std::int64_t host);
  bool receive(const Receive& r, std::int64_t host);
  bool exchange(const Exchange& x, std::int64_t host);
  bool exchange_send(const Exchange::Half& h);
  bool exchange_receive(const Exchange::Half& h);
  bool room_for(const Exchange::Half& h, std::int64_t slots, Time& room);
  bool take_message(std::int32_t from, std::uint32_t tag, Time& sent);
  const ClockedRank::Route& route(std::int32_t peer, Bytes bytes, bool outward);

  std::array<Time, kClockLanes>& lanes() { return now_->lanes; }
  const std::vector<std::int32_t>& members(GroupKind g) const {
    return fixed_[index_].rank->groups[static_cast<std::size_t>(g)];
  }
  std::int32_t peer(std::int32_t pipeline_rank) const {
    return members(GroupKind::kPipeline)[static_cast<std::size_t>(pipeline_rank)];
  }
  std::uint32_t tag(std::uint32_t of_pass) const {
    return of_pass + static_cast<std::uint32_t>(micro_batch_);
  }
  std::int64_t slots_of(Bytes bytes) const {
    const std::int64_t slot = program_.message_slot.value;
    return slot > 0 ? (bytes.value + slot - 1) / slot : 1;
  }

  const Program& program_;
  const Cluster& cluster_;
  std::int64_t launch_latency_;
  std::vector<ClockedRank>& fixed_;
  std::vector<std::array<Meeting, 2>> meetings_;  // by kind and first member
  std::map<std::pair<std::int32_t, std::int32_t>, Connection> connections_;
  // The rank that is walked.
  std::size_t index_ = 0;
  Clocks* now_ = nullptr;
  std::int32_t micro_batch_ = 0;
};

}  // namespace rehearse
