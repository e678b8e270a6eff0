#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "sim/engine/completions.hpp"
#include "sim/engine/task_graph.hpp"
#include "sim/engine/work.hpp"
#include "sim/flow/link_sharing.hpp"

namespace rehearse {

// How fast the running tasks of each domain go, and what is left of them.
//
// Model. Of the tasks that run on a domain's streams, each goes at the least of its class's rates
// beside the classes of the others, alone at full rate. How many others of a class there are does
// not matter. A transfer goes at that rate or, where it is less, at its max-min fair share of the
// links that it crosses.
//
// Rates belong to the intervals between instants, not to instants: all ends and starts of an
// instant happen first, then settle() compares the rates with those in force. It looks at domains
// of which a stream is taken otherwise than when they were last settled (by nothing, by a task that
// runs or by one that holds it, of a class), and at the transfers that changes of others reach over
// links. So a stream that goes from one task to the next of its class without a gap changes
// nothing, tasks without duration slow nobody, and the order of events within an instant cannot be
// seen. A held stream slows others as the task that holds it would.
class Interference {
 public:
  explicit Interference(const TaskGraph& graph);

  // Does this stream share its domain with another, or links? Others run at full rate and are not
  // tracked.
  bool tracks(StreamId s) const { return streams_[s].tracked; }

  // A task with work to do starts. Returns its end if the rate of the stream's last task stays.
  std::int64_t begin(StreamId s, TaskId t, std::int64_t now) {
    Stream& stream = streams_[s];
    stream.settled_ps = now;
    stream.left = Work{graph_.hot(t).duration_ps, 0};
    take(s, {graph_.task_class(t), Taken::kRunning});
    const TransferId transfer = graph_.transfer_of(t);
    if (transfer != kNoTransfer || stream.transfer != nullptr) change_transfer(s, transfer);
    return end_of(stream, now);
  }
  void finish(StreamId s) {
    Stream& stream = streams_[s];
    take(s, {});
    if (stream.transfer != nullptr) links_.end(s);
  }
  void hold(StreamId s, TaskClass cls) {
    if (streams_[s].domain != kNoDomain) take(s, {cls, Taken::kHeld});
  }
  // Ends a hold, where there is one.
  void release(StreamId s) {
    if (streams_[s].taken.how == Taken::kHeld) take(s, {});
  }

  // Ends an instant: where a rate changes, moves the task's completion. Returns how many it moved.
  std::uint64_t settle(std::int64_t now, CompletionTree& completions);

 private:
  static constexpr std::uint32_t kNoDomain = 0xffffffff;
  struct Taken {
    enum How : std::uint8_t { kIdle, kHeld, kRunning };
    TaskClass cls = 0;  // 0 of an idle stream
    How how = kIdle;
    bool operator==(const Taken&) const = default;
  };
  struct Stream {
    std::int64_t settled_ps = 0;  // `left` is what is left at this time
    Work left;
    const Transfer* transfer = nullptr;
    RateParts rate = kFullRate;
    RateParts of_class = kFullRate;  // what the rate is without links
    std::uint32_t domain = kNoDomain;
    Taken taken, taken_when_settled;
    bool touched = false;  // is it in touched_?
    bool tracked = false;
  };
  using Domain = std::vector<StreamId>;

  void take(StreamId s, Taken by) {
    Stream& stream = streams_[s];
    stream.taken = by;
    if (stream.touched || stream.domain == kNoDomain) return;
    stream.touched = true;
    touched_.push_back(s);
  }
  static std::int64_t end_of(const Stream& stream, std::int64_t now) {
    std::int64_t end = 0;
    if (__builtin_add_overflow(now, stream.left.time_left(stream.rate), &end))
      throw std::overflow_error("simulated time passes 106 days");
    return end;
  }
  void change_transfer(StreamId s, TransferId transfer);
  RateParts rate_of(const Domain& domain, StreamId s) const;
  std::uint64_t settle_domain(const Domain& domain, std::int64_t now, CompletionTree& completions);
  std::uint64_t settle_class(StreamId s, RateParts rate, std::int64_t now,
                             CompletionTree& completions);
  std::uint64_t settle_transfers(std::int64_t now, CompletionTree& completions);
  std::uint64_t change_rate(StreamId s, RateParts rate, std::int64_t now,
                            CompletionTree& completions);

  const TaskGraph& graph_;
  std::size_t classes_;
  std::vector<RateParts> rates_;
  std::vector<Stream> streams_;
  std::vector<Domain> domains_;
  std::vector<StreamId> touched_;  // of a domain; taken or left since the last settle
  LinkSharing links_;              // by streams
};

}  // namespace rehearse
