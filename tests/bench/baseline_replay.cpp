#include "tests/bench/baseline_replay.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <queue>
#include <set>

#include "sim/flow/link_sharing.hpp"

namespace rehearse::bench {
namespace {

__extension__ typedef __int128 Wide;
constexpr std::int64_t kBillion = 1'000'000'000;

enum Phase : int { kEnd = 0, kStart = 1 };

struct Event {
  std::int64_t time;
  Phase phase;
  TaskId task;
  std::uint32_t version;

  bool operator>(const Event& o) const {
    if (time != o.time) return time > o.time;
    if (phase != o.phase) return phase > o.phase;
    return task > o.task;
  }
};

}  // namespace

BaselineReplay::BaselineReplay(const TaskGraph& graph)
    : successors_(graph.size()),
      classes_(graph.class_count()),
      interferes_(graph.interferes()),
      links_(graph.link_count()) {
  for (std::size_t a = 0; a < classes_; ++a)
    for (std::size_t b = 0; b < classes_; ++b)
      parts_.push_back(
          std::llround(graph.rate(static_cast<TaskClass>(a), static_cast<TaskClass>(b)) * 1e9));
  std::map<std::uint32_t, std::uint32_t> dense;
  for (StreamId s = 0; s < graph.stream_count(); ++s) {
    const auto next = static_cast<std::uint32_t>(dense.size());
    const std::uint32_t domain = dense.emplace(graph.domain(s), next).first->second;
    streams_.push_back({domain, graph.stream_class(s), {}});
  }
  domains_ = static_cast<std::uint32_t>(dense.size());
  for (TaskId t = 0; t < graph.size(); ++t) {
    const auto& hot = graph.hot(t);
    tasks_.push_back({hot.duration_ps, hot.stream, graph.indegree(t), graph.task_class(t),
                      graph.transfer_of(t), graph.holds(t) ? graph.held_as(t) : kNoTaskClass});
    if (const TransferId of = graph.transfer_of(t); of != kNoTransfer) {
      if (of >= transfers_.size()) transfers_.resize(of + 1);
      transfers_[of] = graph.transfer(of);
    }
    const auto next = graph.successors(t);
    successors_[t].assign(next.begin(), next.end());
    if (hot.stream != kNoStream) streams_[hot.stream].tasks.push_back(t);
  }
}

class BaselineRun {
 public:
  explicit BaselineRun(const BaselineReplay& plan)
      : plan_(plan),
        state_(plan.tasks_.size()),
        cursor_(plan.streams_.size(), 0),
        running_(plan.domains_),
        held_(plan.domains_) {
    timeline_.start.resize(plan.tasks_.size());
    timeline_.end.resize(plan.tasks_.size());
  }

  Timeline run() {
    for (TaskId t = 0; t < state_.size(); ++t) {
      state_[t].waiting_for = plan_.tasks_[t].predecessors;
      offer(t);
    }
    while (!queue_.empty()) {
      // Rates belong to the time between instants. Settling may bring a new first event.
      if (queue_.top().time != now_) settle();
      const Event event = queue_.top();
      queue_.pop();
      if (event.version != state_[event.task].version) continue;
      now_ = event.time;
      if (event.phase == kStart) {
        start(event.task);
      } else {
        end(event.task);
      }
    }
    timeline_.makespan = SimTime(now_);
    timeline_.events = 2 * static_cast<std::uint64_t>(state_.size()) + moved_;
    return std::move(timeline_);
  }

 private:
  struct State {
    std::uint32_t waiting_for = 0;
    std::uint32_t version = 0;
    bool offered = false;
    std::int64_t since = 0;
    std::int64_t rate = kBillion, of_class = kBillion;
    Wide left = 0;  // billionths of a picosecond
  };

  // Queues the start of a task whose predecessors are done and whose turn in its stream has come.
  void offer(TaskId t) {
    const StreamId s = plan_.tasks_[t].stream;
    if (state_[t].offered || state_[t].waiting_for != 0) return;
    if (s != kNoStream && plan_.streams_[s].tasks[cursor_[s]] != t) return;
    state_[t].offered = true;
    queue_.push({now_, kStart, t, state_[t].version});
  }

  bool contends_on(StreamId s) const {
    return plan_.interferes_ && s != kNoStream &&
           plan_.streams_[s].cls != StreamClass::kIndependent;
  }
  bool contends(TaskId t) const {
    return contends_on(plan_.tasks_[t].stream) && plan_.tasks_[t].duration_ps > 0;
  }
  std::uint32_t domain_of(TaskId t) const { return plan_.streams_[plan_.tasks_[t].stream].domain; }

  void start(TaskId t) {
    State& state = state_[t];
    timeline_.start[t].ps = now_;
    state.since = now_;
    state.left = Wide{plan_.tasks_[t].duration_ps} * kBillion;
    const StreamId s = plan_.tasks_[t].stream;
    if (contends_on(s) && held_[domain_of(t)].erase(s) > 0) touched_.insert(domain_of(t));
    if (contends(t)) {
      running_[domain_of(t)].insert(t);
      touched_.insert(domain_of(t));
    }
    if (plan_.tasks_[t].transfer != kNoTransfer && plan_.tasks_[t].duration_ps > 0) {
      transferring_[plan_.tasks_[t].stream] = t;
      transfers_change_ = true;
    }
    queue_.push({now_ + plan_.tasks_[t].duration_ps, kEnd, t, state.version});
  }

  void end(TaskId t) {
    timeline_.end[t].ps = now_;
    if (contends(t)) {
      running_[domain_of(t)].erase(t);
      touched_.insert(domain_of(t));
    }
    const StreamId s = plan_.tasks_[t].stream;
    if (contends_on(s) && plan_.tasks_[t].held_as != kNoTaskClass) {
      held_[domain_of(t)][s] = plan_.tasks_[t].held_as;
      touched_.insert(domain_of(t));
    }
    if (transferring_.count(s) > 0 && transferring_.at(s) == t) {
      transferring_.erase(s);
      transfers_change_ = true;
    }
    if (s != kNoStream) {
      const auto& tasks = plan_.streams_[s].tasks;
      if (++cursor_[s] < tasks.size()) offer(tasks[cursor_[s]]);
    }
    for (const TaskId next : plan_.successors_[t]) {
      --state_[next].waiting_for;
      offer(next);
    }
  }

  void settle() {
    for (const std::uint32_t domain : touched_) {
      for (const TaskId t : running_[domain]) {
        std::int64_t least = kBillion;
        const std::size_t row = plan_.tasks_[t].cls * plan_.classes_;
        for (const TaskId other : running_[domain]) {
          if (other != t) least = std::min(least, plan_.parts_[row + plan_.tasks_[other].cls]);
        }
        for (const auto& [stream, as] : held_[domain])
          least = std::min(least, plan_.parts_[row + as]);
        state_[t].of_class = least;
        transfers_change_ |= plan_.tasks_[t].transfer != kNoTransfer;
        if (plan_.tasks_[t].transfer == kNoTransfer) set_rate(t, least);
      }
    }
    touched_.clear();
    if (transfers_change_) share_links();
    transfers_change_ = false;
  }

  void share_links() {
    LinkSharing links(std::vector<double>(plan_.links_, 1.0), plan_.streams_.size());
    const auto of = [&](TaskId t) -> const Transfer& {
      return plan_.transfers_[plan_.tasks_[t].transfer];
    };
    for (const auto& [s, t] : transferring_)
      links.begin(s, of(t).crossings,
                  of(t).demand * static_cast<double>(state_[t].of_class) / kBillion);
    links.solve();
    for (const auto& [s, t] : transferring_)
      set_rate(t, std::min<std::int64_t>(state_[t].of_class,
                                         std::llround(links.rate(s) / of(t).demand * kBillion)));
  }

  void set_rate(TaskId t, std::int64_t rate) {
    State& state = state_[t];
    if (state.rate == rate) return;
    state.left -= Wide{now_ - state.since} * state.rate;
    state.since = now_;
    state.rate = rate;
    const Wide time = (state.left + rate - 1) / rate;
    queue_.push({now_ + static_cast<std::int64_t>(time), kEnd, t, ++state.version});
    ++moved_;
  }

  const BaselineReplay& plan_;
  Timeline timeline_;
  std::int64_t now_ = 0;
  std::uint64_t moved_ = 0;
  std::vector<State> state_;
  std::vector<std::size_t> cursor_;
  std::vector<std::set<TaskId>> running_;            // by domain
  std::vector<std::map<StreamId, TaskClass>> held_;  // by domain
  std::set<std::uint32_t> touched_;
  std::map<StreamId, TaskId> transferring_;
  bool transfers_change_ = false;
  std::priority_queue<Event, std::vector<Event>, std::greater<>> queue_;
};

Timeline BaselineReplay::run() const { return BaselineRun(*this).run(); }

}  // namespace rehearse::bench
