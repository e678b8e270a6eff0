#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "sim/engine/completions.hpp"
#include "sim/engine/task_graph.hpp"
#include "sim/engine/work.hpp"
#include "sim/flow/link_sharing.hpp"

namespace rehearse {

// How fast tasks go beside each other, by class: TaskGraph::rate().
struct ClassRates {
  std::vector<RateParts> parts =
      std::vector<RateParts>(kMaxTaskClasses * kMaxTaskClasses, kFullRate);
  RateParts& at(TaskClass of, TaskClass beside) { return parts[of * kMaxTaskClasses + beside]; }
  RateParts at(TaskClass of, TaskClass beside) const {
    return parts[of * kMaxTaskClasses + beside];
  }
};

// What transfers take while they meet, and tasks of one device beside each other: the engine's
// interference, for tasks that turn up one by one instead of in a graph. All are called flows here.
//
// Model. Every lane has its flows one after the other. A flow starts when it is ready, which may be
// when another has ended, and the one before it on its lane has. next() goes on to the next instant
// at which one starts or ends. Whoever adds flows adds all that start before that instant, and then
// the ends are the engine's, to the picosecond.
//
// A guard is not a flow: it stands on links, and on its device, for as long as nothing else is
// there. When something comes, it is broken. A promise stands for something else, whose end it is
// told.
class FlowSchedule {
 public:
  using Id = std::uint32_t;
  static constexpr Id kNone = std::numeric_limits<Id>::max();

  // A time that may depend on a flow: the later of `at` and its end with `plus` more.
  struct Ready {
    std::int64_t at = 0;
    Id after = kNone;
    std::int64_t plus = 0;
  };
  enum class Kind : std::uint8_t { kFlow, kGuard, kPromise };
  struct Event {
    Id id = kNone;
    bool broken = false;  // a guard; otherwise it has ended
  };

  // `transfers` and `rates` may go on growing. Links have a capacity of 1. Flows slow each other by
  // class where there are `rates`, on each device's `lanes_of_device` lanes, at most 32. After the
  // lanes come `promise_lanes` that have promises alone.
  FlowSchedule(const std::vector<Transfer>& transfers, std::size_t links, std::size_t lanes,
               const ClassRates* rates = nullptr, std::size_t lanes_of_device = 1,
               std::size_t promise_lanes = 0);

  // A flow that takes `time` alone, after the lane's others.
  Id add(std::size_t lane, const Ready& ready, std::int64_t time, TransferId transfer,
         TaskClass cls = kIndependentTasks);
  // One that began in the past and has been alone since.
  Id add_running(std::size_t lane, std::int64_t begin, std::int64_t time, TransferId transfer,
                 TaskClass cls = kIndependentTasks);
  // A guard over the links of a transfer, if there is one, and over its device, where flows slow
  // each other by class. Precondition: nothing else is on the lane.
  Id guard(std::size_t lane, std::int64_t begin, std::int64_t end, TransferId links);

  // Ends when fulfil() says, after the lane's others.
  Id promise(std::size_t lane);
  // Precondition: it is the first of its lane.
  void fulfil(Id promise, std::int64_t end);

  // The next that ends or is broken; nothing: there is none left.
  std::optional<Event> next();

  // All that is to come, in numbers that are the same whenever it is the same but for the time and
  // for flows that have ended.
  void describe(std::vector<std::int64_t>& out) const;
  void describe(const Ready& r, std::vector<std::int64_t>& out) const;
  void describe(Id flow, std::vector<std::int64_t>& out) const;
  // All that have not ended.
  template <class Visit>
  void for_each_open(const Visit& visit) const {
    for (const Lane& lane : lanes_)
      for (std::size_t i = lane.first; i < lane.flows.size(); ++i) visit(lane.flows[i]);
  }
  // A time as it is told in these numbers: those that have passed are all the same.
  std::int64_t to_come(std::int64_t time) const { return std::max<std::int64_t>(-1, time - now_); }
  // From now on it is so much later, and all that is to come, too. What depends on flows that have
  // ended has been settled.
  void shift(std::int64_t ps);
  // Guards that have been broken are still to be told.
  bool breaking() const { return !broken_.empty(); }

  std::int64_t now() const { return now_; }
  bool ended(Id id) const { return flows_[id].state == State::kEnded; }
  // Not a guard, and it has begun.
  bool under_way(Id id) const {
    return flows_[id].kind == Kind::kFlow && flows_[id].state == State::kRunning;
  }
  std::int64_t end(Id id) const { return flows_[id].end; }
  std::int64_t start(Id id) const { return flows_[id].start; }
  // Something was to start before the present: then times are not to be relied on.
  bool late() const { return late_; }
  // Puts in the end of what a time depends on, if that is known. True: it is known now.
  bool settle(Ready& r) const {
    if (r.after == kNone) return true;
    if (!ended(r.after)) return false;
    r.at = std::max(r.at, flows_[r.after].end + r.plus);
    r.after = kNone;
    return true;
  }

 private:
  enum class State : std::uint8_t { kWaiting, kScheduled, kRunning, kEnded };
  struct Flow {
    Ready ready;
    std::int64_t start = 0, end = 0, time = 0;
    TransferId transfer = kNoTransfer;
    std::uint32_t lane = 0;
    Kind kind = Kind::kFlow;
    State state = State::kWaiting;
    TaskClass cls = kIndependentTasks;
    std::uint32_t follower = kNone;  // the last lane whose first flow waits for this one
    bool takes_links() const { return kind == Kind::kFlow && transfer != kNoTransfer && time > 0; }
  };
  struct Lane {
    std::vector<Id> flows;  // of which the first may have begun, from `first` on
    std::size_t first = 0;
    Work left;
    std::int64_t settled = 0;
    RateParts rate = kFullRate, of_class = kFullRate;
    TaskClass cls = kIndependentTasks;  // of its first flow, where that runs
    bool running = false;               // its first flow, which may be slowed
    bool alone = false;                 // on all its links: then LinkSharing does not know it
    std::uint32_t follower = kNone;     // the next that waits for the same flow

    std::size_t size() const { return flows.size() - first; }
    Id front() const { return flows[first]; }
    void pop() {
      if (++first < flows.size()) return;
      flows.clear();
      first = 0;
    }
  };

  Id push(std::size_t lane, const Flow& flow);
  void schedule(std::size_t lane);
  void run(Id id, std::int64_t since);
  std::optional<Event> begin(Id id);
  Event finish(Id id);
  void follow(Id ended);
  void come(std::uint32_t lane, const Transfer& t);
  void break_all(std::vector<Id>& guards);
  std::vector<Id>* guards_of_device(std::uint32_t lane) {
    return rates_ == nullptr ? nullptr : &device_guards_[lane / lanes_of_device_];
  }
  void share(std::uint32_t lane);
  void leave(Id guard);
  void touch(std::uint32_t lane);
  void change_rate(std::uint32_t lane, RateParts rate);
  void settle_shared(std::uint32_t lane);
  void settle_classes(std::size_t device);
  void clear(std::uint32_t lane);
  void settle_rates();

  const std::vector<Transfer>& transfers_;
  std::vector<Flow> flows_;
  std::vector<Lane> lanes_;
  CompletionTree events_;
  LinkSharing links_;
  std::vector<int> busy_;                                // flows by link
  std::vector<std::uint32_t> newest_;                    // the lane of the last that came, by link
  std::vector<std::vector<Id>> guards_, device_guards_;  // by link and by device
  std::vector<Id> broken_;
  std::vector<std::uint32_t> joined_;  // lanes that began to share since rates were settled
  std::uint32_t cleared_ = kNone;      // a lane that has nothing to come any more
  const ClassRates* rates_;
  std::size_t lanes_of_device_;
  std::vector<std::size_t> touched_;  // devices on which a flow of a class has begun or ended
  std::vector<bool> is_touched_;
  std::vector<std::uint32_t> classed_;  // lanes whose flows run and have a class, by device
  std::int64_t now_ = 0;
  bool changed_ = false, late_ = false;
};

}  // namespace rehearse
