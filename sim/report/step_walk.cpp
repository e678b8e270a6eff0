#include "sim/report/step_walk.hpp"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace rehearse {
namespace {

__extension__ using Wide = __int128;

bool communicates(Activity a) {
  return a == Activity::kCollective || a == Activity::kSend || a == Activity::kReceive;
}

SimTime StepParts::*part_of(Activity activity) {
  switch (activity) {
    case Activity::kForward:
    case Activity::kBackward:
    case Activity::kRecompute:
      return &StepParts::compute;
    case Activity::kOptimizer:
      return &StepParts::optimizer;
    case Activity::kHost:
      return &StepParts::host;
    case Activity::kCollective:
    case Activity::kSend:
    case Activity::kReceive:
    case Activity::kJoin:
      return &StepParts::exposed_communication;
  }
  throw std::logic_error("an activity that has no part of the step");
}

}  // namespace

std::uint32_t device_of(const TaskGraph& graph, const Annotations& notes, TaskId t) {
  const StreamId stream = graph.hot(t).stream;
  return stream == kNoStream ? notes.tasks[t].device : notes.streams[stream].device;
}

std::vector<std::int64_t> apportion(std::int64_t length, const std::vector<std::int64_t>& weights) {
  std::vector<std::int64_t> shares(weights.size(), 0);
  const std::int64_t total = std::accumulate(weights.begin(), weights.end(), std::int64_t{0});
  if (total <= 0) return shares;
  // Rounding the running sum, not each share, makes the shares add up.
  std::int64_t weight = 0;
  std::int64_t given = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weight += weights[i];
    const auto reached = static_cast<std::int64_t>(Wide{length} * weight / total);
    shares[i] = reached - given;
    given = reached;
  }
  return shares;
}

StepWalk::StepWalk(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes,
                   const StepWindow& window)
    : graph_(graph),
      timeline_(timeline),
      notes_(notes),
      window_(window),
      dependencies_(graph),
      exposed_ps_(notes.collectives.size(), 0) {}

void StepWalk::run() {
  SimTime cursor = window_.begin;
  const StreamId compute = notes_.compute_stream.at(window_.device);
  if (compute != kNoStream) {
    for (const TaskId t : graph_.stream_tasks(compute)) {
      if (cursor >= window_.end) return;
      // A join on the stream is a wait; it is part of the gap before what comes next.
      if (notes_.tasks[t].activity == Activity::kJoin) continue;
      if (timeline_.end[t] <= cursor) continue;
      if (timeline_.start[t] > cursor) {
        add_gap(cursor, timeline_.start[t],
                binding_predecessor(dependencies_, timeline_, t, &notes_));
      }
      add_busy(t);
      cursor = timeline_.end[t];
    }
  }
  if (cursor < window_.end) add_gap(cursor, window_.end, last_task_before(window_.end));
}

std::int64_t StepWalk::visible(SimTime begin, SimTime end) const {
  const SimTime from = std::max(begin, window_.begin);
  const SimTime to = std::min(end, window_.end);
  return std::max<std::int64_t>(0, (to - from).ps);
}

void StepWalk::add_exposed(std::int64_t ps, std::int32_t collective) {
  add(&StepParts::exposed_communication, ps);
  if (collective >= 0) exposed_ps_[static_cast<std::size_t>(collective)] += ps;
}

void StepWalk::add_busy(TaskId t) {
  const std::int64_t ps = visible(timeline_.start[t], timeline_.end[t]);
  const TaskInfo& info = notes_.tasks[t];
  if (info.share >= 0) {
    add_segment(t, ps);
  } else if (communicates(info.activity)) {
    add_exposed(ps, info.collective);
  } else {
    add(part_of(info.activity), ps);
  }
}

void StepWalk::add_segment(TaskId t, std::int64_t ps) {
  const SegmentShare& share = notes_.shares[static_cast<std::size_t>(notes_.tasks[t].share)];
  std::vector<std::int64_t> weights;
  for (const auto& [activity, part] : share.parts_ps) weights.push_back(part);
  // What the graph gives the task beyond its parts is time that it waited for the host. Slowing
  // down by interference is not: it stretches everything.
  const std::int64_t own = std::accumulate(weights.begin(), weights.end(), std::int64_t{0});
  weights.push_back(std::max<std::int64_t>(0, graph_.hot(t).duration_ps - own));

  const std::vector<std::int64_t> shares = apportion(ps, weights);
  const std::int64_t given = std::accumulate(shares.begin(), shares.end(), std::int64_t{0});
  add(&StepParts::host, shares.back() + (ps - given));

  std::int64_t exposed = 0;
  for (std::size_t i = 0; i < share.parts_ps.size(); ++i) {
    const Activity activity = share.parts_ps[i].first;
    add(part_of(activity), shares[i]);
    if (communicates(activity)) exposed += shares[i];
  }
  std::vector<std::int64_t> uses;
  for (const SegmentShare::CollectiveUse& use : share.collectives)
    uses.push_back(use.ps - use.hidden_ps);
  const std::vector<std::int64_t> by_use = apportion(exposed, uses);
  for (std::size_t i = 0; i < by_use.size(); ++i) {
    const std::int32_t collective = share.collectives[i].collective;
    if (collective >= 0) exposed_ps_[static_cast<std::size_t>(collective)] += by_use[i];
  }
}

void StepWalk::add_gap(SimTime begin, SimTime end, TaskId cause) {
  Gap gap{begin, end};
  for (TaskId at = cause; at != kNoTask && gap.end > gap.begin;
       at = binding_predecessor(dependencies_, timeline_, at, &notes_)) {
    // Nothing that was simulated explains a task that starts later than all it waits for.
    if (timeline_.end[at] < gap.end) {
      const SimTime reached = std::max(gap.begin, timeline_.end[at]);
      add(&StepParts::host, visible(reached, gap.end));
      gap.end = reached;
    }
    if (!explain(gap, at)) break;
  }
  if (gap.latency_ps > 0) add_exposed(gap.latency_ps, gap.collective);
  if (gap.end > gap.begin) add(&StepParts::host, visible(gap.begin, gap.end));
}

bool StepWalk::explain(Gap& gap, TaskId at) {
  const TaskInfo& info = notes_.tasks[at];
  const SimTime from = std::clamp(timeline_.start[at], gap.begin, gap.end);
  const std::int64_t running = visible(from, gap.end);
  const auto settle_latency = [&] {
    add_exposed(gap.latency_ps, gap.collective);
    gap.latency_ps = 0;
  };
  switch (info.activity) {
    case Activity::kJoin:
      gap.latency_ps += running;
      break;
    case Activity::kHost:
      add(&StepParts::host, gap.latency_ps + running);
      gap.latency_ps = 0;
      break;
    case Activity::kCollective:
    case Activity::kSend:
    case Activity::kReceive:
      gap.collective = info.collective;
      gap.out_of_step = info.activity == Activity::kCollective;
      settle_latency();
      add_exposed(running, gap.collective);
      break;
    case Activity::kForward:
    case Activity::kBackward:
    case Activity::kRecompute:
    case Activity::kOptimizer: {
      settle_latency();
      if (device_of(graph_, notes_, at) == window_.device) {
        add_exposed(running, gap.collective);
        break;
      }
      const std::int64_t rest = visible(gap.begin, gap.end);
      if (gap.out_of_step) {
        add_exposed(rest, gap.collective);
      } else {
        add(&StepParts::pipeline_bubble, rest);
      }
      gap.end = gap.begin;
      return false;
    }
  }
  gap.end = from;
  return true;
}

TaskId StepWalk::last_task_before(SimTime end) const {
  TaskId last = kNoTask;
  for (TaskId t = 0; t < graph_.size(); ++t) {
    const bool host = notes_.tasks[t].activity == Activity::kHost;
    const bool meeting =
        graph_.hot(t).stream == kNoStream && notes_.tasks[t].activity == Activity::kJoin;
    if (meeting || timeline_.end[t] > end || device_of(graph_, notes_, t) != window_.device) {
      continue;
    }
    const bool later = last == kNoTask || timeline_.end[t] > timeline_.end[last];
    const bool tells_more = last != kNoTask && timeline_.end[t] == timeline_.end[last] && !host &&
                            notes_.tasks[last].activity == Activity::kHost;
    if (later || tells_more) last = t;
  }
  return last;
}

}  // namespace rehearse
