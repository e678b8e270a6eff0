#include "strategies/rank_lowering.hpp"

#include <cmath>

namespace rehearse {

template <class Sink>
RankLowering<Sink>::RankLowering(LoweringState<Sink>& state, std::uint32_t index)
    : state_(state),
      rank_(state.program.ranks[index]),
      streams_(state, index),
      meetings_(streams_),
      messages_(streams_),
      variation_(state.options.variation, state.options.trial, rank_.rank, rank_.members) {
  variation_.begin_step();
  varies_ = variation_.any();
  const bool together = streams_.members(GroupKind::kTensor).size() > 1 ||
                        streams_.members(GroupKind::kContext).size() > 1 ||
                        streams_.members(GroupKind::kExpert).size() > 1;
  for (std::uint32_t p = 0; p < rank_.steps.passes(); ++p)
    digests_.push_back(&state.digests.of(rank_.steps.pass(p), rank_.machine, together));
  events_.resize(static_cast<std::size_t>(rank_.events));
}

// The segments gathered so far become one task.
template <class Sink>
void RankLowering<Sink>::flush() {
  if (run_begin_ == nullptr) return;
  const Task after = streams_.issue(gathered_.host, gathered_.lag());
  if (gathered_.duration > 0)
    streams_.place(
        Streams::lane(StreamKind::kCompute), gathered_.duration,
        [&] {
          TaskInfo i = streams_.info(Activity::kForward, 0, 0);
          i.micro_batch = run_begin_->micro_batch + run_micro_batch_;
          i.chunk = run_begin_->chunk;
          if constexpr (Sink::kAnnotates) {
            const Segment& first = state_.program.segments[run_.front().segment];
            i.name = state_.sink.intern(first.name);
            if (!first.instrs.empty()) i.activity = first.instrs.front().activity;
            i.share = state_.sink.share_of(rank_.machine, run_, state_.prices, state_.program);
          }
          return i;
        },
        after, &gathered_beside_);
  run_.clear();
  run_begin_ = nullptr;
  gathered_ = {};
}

template <class Sink>
std::int64_t RankLowering<Sink>::varied(SegmentId segment) {
  double more = 0;
  for (const Interval& i : state_.intervals[rank_.machine][segment].intervals)
    more += i.kernels * (variation_.factor(i) - 1);
  return std::llround(more);
}

template <class Sink>
std::int64_t RankLowering<Sink>::varied_kernel(SegmentId segment, std::size_t instr,
                                               std::int64_t ps) {
  if (!varies_) return ps;
  const SegmentIntervals& known = state_.intervals[rank_.machine][segment];
  if (interval_ != known.of_instr[instr]) {
    interval_ = known.of_instr[instr];
    factor_ = variation_.factor(known.intervals[known.of_instr[instr]]);
  }
  return std::llround(static_cast<double>(ps) * factor_);
}

template <class Sink>
std::int64_t RankLowering<Sink>::varied_kernel(std::int64_t ps) {
  if (!varies_) return ps;
  const auto time = static_cast<double>(ps);
  return std::llround(time * variation_.factor({time, time * time}));
}

// What follows is gathered into one task, with what was gathered so far where that may be.
template <class Sink>
void RankLowering<Sink>::begin_run(const Step& step, const Slowdowns& beside) {
  if (!(beside == gathered_beside_)) flush();
  if (run_begin_ != nullptr) return;
  gathered_beside_ = beside;
  run_begin_ = &step;
  run_micro_batch_ = streams_.micro_batch;
}

template <class Sink>
void RankLowering<Sink>::gather(const DigestedStep& d) {
  begin_run(*d.step, d.beside);
  gathered_ = gathered_.then(d.run);
  if (varies_) {
    for (const RunPart& part : d.parts) {
      const std::int64_t more = varied(part.segment);
      gathered_.duration += more;
      gathered_.latest += more;
    }
  }
  if constexpr (Sink::kAnnotates) run_.insert(run_.end(), d.parts.begin(), d.parts.end());
}

// Instruction by instruction: for traces, and where communication inside segments stays apart. Then
// kernels between two of those are gathered.
template <class Sink>
bool RankLowering<Sink>::run_segment(const Step& step, const RunSegment& run) {
  const bool merges = state_.options.merge && !varies_;
  if (!merges) flush();
  const Segment& segment = state_.program.segments[run.segment];
  const PricedSegment& priced = state_.prices.segment(rank_.machine, run.segment);
  const auto note_memory = [&](std::size_t end) {
    if (!Sink::kAnnotates || state_.options.merge) return;
    for (; memory_ < end; ++memory_)
      if (const auto* c = std::get_if<MemoryChange>(&segment.instrs[memory_].what))
        streams_.remember(*c);
  };
  std::int64_t extra = instr_ == 0 ? streams_.now->host : 0;
  for (; instr_ < priced.instrs.size(); ++instr_) {
    const PricedInstr& p = priced.instrs[instr_];
    const Instr& instr = segment.instrs[p.instr];
    note_memory(p.instr);
    if (const auto* c = std::get_if<CollectiveWork>(&instr.what)) {
      if (!run_inside(*c, p.duration, p, instr, extra)) return false;
      streams_.forget_waits(Streams::lane(StreamKind::kCompute));
      streams_.wait_for(Streams::lane(StreamKind::kCompute),
                        streams_.mark(Streams::lane_of(c->group)));
    } else if (const auto* o = std::get_if<Overlap>(&instr.what)) {
      if (!run_inside(o->communication, p.communication, p, instr, extra)) return false;
      place_kernel(o->kernel, varied_kernel(run.segment, instr_, p.kernel), instr,
                   streams_.issue(p.kernel_host),
                   state_.prices.beside_collective(rank_.machine, o->kernel.work));
      streams_.wait_for(Streams::lane(StreamKind::kCompute),
                        streams_.mark(Streams::lane_of(o->communication.group)));
    } else if (p.synchronizes) {
      flush();
      streams_.issue(p.host + extra, 0);
      streams_.synchronize(streams_.mark(Streams::lane(StreamKind::kCompute)));
    } else if (merges) {
      begin_run(step, priced.beside);
      const std::int64_t host = p.host + extra;
      gathered_ =
          gathered_.then({p.duration, host, host + state_.prices.launch_latency() + p.duration});
      if constexpr (Sink::kAnnotates) add_part(run.segment);
    } else {
      place_kernel(std::get<Kernel>(instr.what), varied_kernel(run.segment, instr_, p.duration),
                   instr, streams_.issue(p.host + extra), priced.beside);
    }
    extra = 0;
  }
  note_memory(segment.instrs.size());
  // Where nothing was issued the step's own host time is left too.
  if (const std::int64_t trailing = priced.trailing_host + extra; trailing > 0) {
    if (merges) {
      begin_run(step, priced.beside);
      gathered_ = gathered_.then({0, trailing, 0});
    } else {
      streams_.issue(trailing, 0);
    }
  }
  instr_ = memory_ = 0;
  interval_ = -1;
  return true;
}

// The priced instruction that is being walked joins the run.
template <class Sink>
void RankLowering<Sink>::add_part(SegmentId segment) {
  const auto at = static_cast<std::uint32_t>(instr_);
  if (!run_.empty() && run_.back().segment == segment && run_.back().end == at)
    ++run_.back().end;
  else
    run_.push_back({segment, at, at + 1});
}

// A communication of a segment, after everything on the compute stream.
template <class Sink>
bool RankLowering<Sink>::run_inside(const CollectiveWork& work, std::int64_t duration,
                                    const PricedInstr& p, const Instr& instr, std::int64_t extra) {
  flush();
  const std::size_t l = Streams::lane_of(work.group);
  if (!meetings_.arrived()) {
    streams_.wait_for_task(Streams::lane(StreamKind::kCompute), streams_.issue(p.host + extra));
    streams_.wait_for(l, streams_.mark(Streams::lane(StreamKind::kCompute)));
  }
  return meetings_.run(l, work.group, p.collective, duration, [&] {
    TaskInfo i = streams_.info(Activity::kCollective, 0, 0);
    if constexpr (Sink::kAnnotates) {
      i.name = state_.names.collective[static_cast<std::size_t>(work.op)];
      i.label = state_.sink.name_of(instr.label);
    }
    i.collective = p.collective;
    return i;
  });
}

template <class Sink>
void RankLowering<Sink>::place_kernel(const Kernel& k, std::int64_t duration, const Instr& instr,
                                      Task after, const Slowdowns& beside) {
  streams_.place(
      Streams::lane(StreamKind::kCompute), duration,
      [&] {
        TaskInfo i = streams_.info(instr.activity, 0, 0);
        if constexpr (Sink::kAnnotates) {
          i.name = state_.sink.name_of(k.name);
          i.label = state_.sink.name_of(instr.label);
        }
        return i;
      },
      after, &beside);
}

template <class Sink>
bool RankLowering<Sink>::run_collective(const RunCollective& c) {
  flush();
  if (!meetings_.arrived())
    streams_.wait_for_task(Streams::lane(c.stream), streams_.issue(streams_.now->host));
  const auto [index, time] = state_.prices.collective(rank_.machine, c.work);
  return meetings_.run(Streams::lane(c.stream), c.work.group, index, time, [&, which = index] {
    TaskInfo i = streams_.info(Activity::kCollective, state_.names.of(c.work), 0);
    if constexpr (Sink::kAnnotates) i.label = state_.sink.name_of(c.label);
    i.collective = which;
    return i;
  });
}

template <class Sink>
void RankLowering<Sink>::run_kernel(const RunKernel& k) {
  flush();
  const Task after = streams_.issue(streams_.now->host);
  const Slowdowns beside = state_.prices.beside_collective(rank_.machine, k.kernel.work);
  streams_.place(
      Streams::lane(k.stream), varied_kernel(state_.prices.kernel(rank_.machine, k.kernel.work)),
      [&] {
        TaskInfo i = streams_.info(k.activity, 0, k.label);
        if constexpr (Sink::kAnnotates) i.name = state_.sink.name_of(k.kernel.name);
        return i;
      },
      after, k.stream == StreamKind::kCompute ? &beside : nullptr);
}

template <class Sink>
struct RankLowering<Sink>::Visitor {
  RankLowering& r;
  const Step& step;
  bool operator()(const RunSegment& s) const { return r.run_segment(step, s); }
  bool operator()(const RunKernel& k) const {
    r.run_kernel(k);
    return true;
  }
  bool operator()(const RunCollective& c) const { return r.run_collective(c); }
  bool operator()(const Send& s) const {
    r.flush();
    r.messages_.send(s);
    return true;
  }
  bool operator()(const Receive& s) const {
    r.flush();
    return r.messages_.receive(s);
  }
  bool operator()(const Exchange& x) const {
    r.flush();
    return r.messages_.exchange(x);
  }
  bool operator()(const Record& e) const {
    if (e.stream == StreamKind::kCompute) r.flush();
    r.events_[static_cast<std::size_t>(e.event)] = r.streams_.mark(Streams::lane(e.stream));
    return true;
  }
  bool operator()(const Wait& e) const {
    if (e.stream == StreamKind::kCompute) r.flush();
    r.streams_.wait_for(Streams::lane(e.stream), r.events_[static_cast<std::size_t>(e.event)]);
    return true;
  }
  bool operator()(const HostWait& e) const {
    r.flush();
    r.streams_.synchronize(r.events_[static_cast<std::size_t>(e.event)]);
    if (r.streams_.now->host > 0) r.streams_.issue(r.streams_.now->host, 0);
    return true;
  }
  bool operator()(const Memory& m) const {
    if (!r.state_.options.merge) r.streams_.remember(m.change);
    return true;
  }
};

template <class Sink>
bool RankLowering<Sink>::execute(const DigestedStep& step) {
  if (step.merged) {
    gather(step);
    return true;
  }
  return std::visit(Visitor{*this, *step.step}, step.step->work);
}

template <class Sink>
bool RankLowering<Sink>::advance() {
  bool moved = false;
  const auto& calls = rank_.steps.calls();
  while (!finished()) {
    if (call_ == calls.size()) {
      streams_.now = nullptr;
      flush();
      call_ = 0;
      ++streams_.step;
      variation_.begin_step();
      moved = true;
      continue;
    }
    if (at_ == 0)
      state_.sink.mark_call(streams_.index(),
                            static_cast<std::size_t>(streams_.step) * calls.size() + call_);
    const StepList::Call& call = calls[call_];
    const PassDigest& pass = *digests_[call.pass];
    streams_.micro_batch = call.micro_batch;
    for (; at_ < pass.size(); ++at_) {
      const std::uint64_t placed = streams_.placed();
      streams_.now = &pass[at_];
      if (!execute(*streams_.now)) return moved || streams_.placed() != placed;
      moved = true;
    }
    if (!state_.options.merge_passes) flush();
    at_ = 0;
    ++call_;
  }
  return moved;
}

template class RankLowering<GraphSink>;
template class RankLowering<ClockSink>;

}  // namespace rehearse
