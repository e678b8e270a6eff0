#pragma once

#include <cstdint>
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
// instant happen first, then settle() compares each touched domain, and the transfers that changes
// of others reach over links, with the rates in force. So a
// stream that goes from one task to the next of its class without a gap changes nothing, tasks
// without duration slow nobody, and the order of events within an instant cannot be seen. A held
// stream slows others as the task that holds it would.
class Interference {
 public:
  explicit Interference(const TaskGraph& graph);

  // Does this stream share its domain with another, or links? Others run at full rate and are not
  // tracked.
  bool tracks(StreamId s) const { return streams_[s].tracked; }

  // A task with work to do starts. Returns its end if the rate of the stream's last task stays.
  std::int64_t begin(StreamId s, TaskId t, std::int64_t now);
  void finish(StreamId s);
  void hold(StreamId s, TaskClass cls);
  // Ends a hold, where there is one.
  void release(StreamId s);

  // Ends an instant: where a rate changes, moves the task's completion. Returns how many it moved.
  std::uint64_t settle(std::int64_t now, CompletionTree& completions);

 private:
  static constexpr std::uint32_t kNoDomain = 0xffffffff;
  struct Stream {
    std::int64_t settled_ps = 0;  // `left` is what is left at this time
    Work left;
    std::uint32_t domain = kNoDomain;
    RateParts rate = kFullRate;
    RateParts of_class = kFullRate;  // what the rate is without links
    const Transfer* transfer = nullptr;
    TaskClass cls = kIndependentTasks;
    bool running = false;
    bool held = false;
    bool tracked = false;
  };
  struct Domain {
    std::vector<StreamId> streams;
    bool touched = false;  // is it in touched_?
  };

  void touch(StreamId s);
  RateParts rate_of(const Domain& domain, StreamId s) const;
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
  std::vector<std::uint32_t> touched_;  // domains where a task has begun or ended
  LinkSharing links_;                   // by streams
};

}  // namespace rehearse
