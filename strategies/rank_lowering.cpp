#include "strategies/rank_lowering.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "sim/base/sim_time.hpp"

namespace rehearse {
namespace {

std::string lane_name(std::size_t lane, std::size_t tensor) {
  constexpr std::array kInside{"nccl tp", "nccl cp", "nccl ep"};
  if (lane >= tensor && lane - tensor < kInside.size()) return kInside[lane - tensor];
  if (lane < kStreamKinds) return std::string(to_string(static_cast<StreamKind>(lane)));
  return "host";
}

}  // namespace

template <class Sink>
LoweringState<Sink>::LoweringState(const Program& p, const Cluster& c, const LowerOptions& o,
                                   Prices& pr)
    : program(p),
      cluster(c),
      options(o),
      prices(pr),
      digests(c, pr, {o.merge, c.gpu.beside.interferes()}),
      sink(p, c, o),
      messages(p.ranks.size()),
      meetings_(p.ranks.size() * kGroupKinds) {
  if constexpr (Sink::kAnnotates) {
    names = {sink.intern("issue"),        sink.intern("synchronize"),   sink.intern("nccl send"),
             sink.intern("nccl receive"), sink.intern("nccl exchange"), {}};
    for (std::size_t i = 0; i < kCollectiveOps; ++i)
      names.collective[i] =
          sink.intern("nccl " + std::string(to_string(static_cast<CollectiveOp>(i))));
  }
  if (!o.variation.any()) return;
  intervals.resize(p.machines.size());
  for (std::size_t m = 0; m < intervals.size(); ++m)
    for (SegmentId s = 0; s < p.segments.size(); ++s)
      intervals[m].push_back(rehearse::intervals(p.segments[s], pr.segment(m, s)));
}

template <class Sink>
typename LoweringState<Sink>::Meeting& LoweringState<Sink>::meeting(std::size_t kind,
                                                                    std::int32_t first_member,
                                                                    std::uint32_t number) {
  auto& both = meetings_[kind * program.ranks.size() + static_cast<std::size_t>(first_member)];
  Meeting& m = both[number % 2];
  if (m.number == number) return m;
  m.number = number;
  m.arrived = 0;
  Sink::clear(m.arrivals);
  m.done = Sink::kNone;
  return m;
}

template <class Sink>
RankLowering<Sink>::RankLowering(LoweringState<Sink>& state, std::uint32_t index)
    : state_(state),
      index_(index),
      rank_(state.program.ranks[index]),
      variation_(state.options.variation, state.options.trial, rank_.rank, rank_.members) {
  variation_.begin_step();
  varies_ = variation_.any();
  const bool together = members(GroupKind::kTensor).size() > 1 ||
                        members(GroupKind::kContext).size() > 1 ||
                        members(GroupKind::kExpert).size() > 1;
  for (std::uint32_t p = 0; p < rank_.steps.passes(); ++p)
    digests_.push_back(&state.digests.of(rank_.steps.pass(p), rank_.machine, together));
  events_.resize(static_cast<std::size_t>(rank_.events));
  const StreamId compute = stream(lane(StreamKind::kCompute));
  if constexpr (Sink::kAnnotates) state_.sink.notes.compute_stream.push_back(compute);
  if (state_.options.merge) return;
  const std::pair<MemoryCategory, Bytes> residents[] = {
      {MemoryCategory::kParameters, rank_.parameters},
      {MemoryCategory::kGradients, rank_.persistent_gradients},
      {MemoryCategory::kOptimizerStates, rank_.optimizer_states},
      {MemoryCategory::kActivations, rank_.cache},
      {MemoryCategory::kTemporary, rank_.buffers}};
  for (const auto& [category, bytes] : residents)
    if (bytes.value > 0) allocations_.push_back({0, category, bytes.value});
}

template <class Sink>
StreamId RankLowering<Sink>::stream(std::size_t l) {
  LaneState& s = lanes_[l];
  if (s.stream != kNoStream) return s.stream;
  const bool kernels = l == lane(StreamKind::kCompute) || l == lane(StreamKind::kCopy);
  const StreamClass cls = kernels          ? StreamClass::kForeground
                          : l == kHostLane ? StreamClass::kIndependent
                                           : StreamClass::kBackground;
  return s.stream = state_.sink.add_stream(index_, cls, lane_name(l, kTensorLane).c_str());
}

template <class Sink>
TaskInfo RankLowering<Sink>::info(Activity activity, std::uint32_t name,
                                  std::uint32_t label) const {
  TaskInfo i;
  i.name = name;
  i.label = label;
  i.activity = activity;
  i.step = static_cast<std::uint8_t>(step_);
  i.device = index_;
  if (now_ != nullptr) {
    i.micro_batch = now_->step->micro_batch + micro_batch_;
    i.chunk = now_->step->chunk;
  }
  return i;
}

template <class Sink>
template <class Info>
typename Sink::Task RankLowering<Sink>::place(std::size_t l, std::int64_t duration,
                                              const Info& make, Task after,
                                              const Slowdowns* beside) {
  const StreamId s = stream(l);
  LaneState& ls = lanes_[l];
  const Task t = state_.sink.add(s, duration, index_, step_, ls.waits, after, make, beside);
  Sink::clear(ls.waits);
  ls.last = t;
  if constexpr (Sink::kAnnotates) {
    if (!state_.options.merge && l != kHostLane) {
      for (MemoryEvent& e : allocations_) {
        e.task = t;
        state_.sink.notes.memory[index_].push_back(e);
      }
      allocations_.clear();
      newest_ = t;
    }
  }
  return t;
}

template <class Sink>
template <class Info>
typename Sink::Task RankLowering<Sink>::delay(std::int64_t duration, const Info& make,
                                              const Ready& ready, Task after) {
  return state_.sink.add(kNoStream, duration, index_, step_, ready, after, make);
}

template <class Sink>
typename Sink::Ready RankLowering<Sink>::mark(std::size_t l) const {
  Ready e = lanes_[l].waits;
  Sink::include(e, lanes_[l].last);
  return e;
}

template <class Sink>
typename Sink::Task RankLowering<Sink>::issue(std::int64_t host, std::int64_t lag) {
  const auto issuing = [&] { return info(Activity::kHost, state_.names.issue, 0); };
  const Task before = host_last_;
  if (host > 0) host_last_ = place(kHostLane, host, issuing);
  if (lag == 0) return before;
  return delay(lag, issuing, {}, before);
}

// The segments gathered so far become one task.
template <class Sink>
void RankLowering<Sink>::flush() {
  if (run_begin_ == nullptr) return;
  const Task after = issue(gathered_.host, gathered_.lag());
  if (gathered_.duration > 0)
    place(
        lane(StreamKind::kCompute), gathered_.duration,
        [&] {
          TaskInfo i = info(Activity::kForward, 0, 0);
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
void RankLowering<Sink>::remember(const MemoryChange& c) {
  if constexpr (Sink::kAnnotates) {
    if (c.bytes.value == 0) return;
    const MemoryEvent e{newest_ == kNoTask ? 0 : newest_, c.category,
                        c.allocate ? c.bytes.value : -c.bytes.value};
    if (c.allocate || newest_ == kNoTask || !allocations_.empty())
      allocations_.push_back(e);
    else
      state_.sink.notes.memory[index_].push_back(e);
  }
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
  run_micro_batch_ = micro_batch_;
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
      if (const auto* c = std::get_if<MemoryChange>(&segment.instrs[memory_].what)) remember(*c);
  };
  std::int64_t extra = instr_ == 0 ? now_->host : 0;
  for (; instr_ < priced.instrs.size(); ++instr_) {
    const PricedInstr& p = priced.instrs[instr_];
    const Instr& instr = segment.instrs[p.instr];
    note_memory(p.instr);
    if (const auto* c = std::get_if<CollectiveWork>(&instr.what)) {
      if (!run_inside(*c, p.duration, p, instr, extra)) return false;
      Sink::clear(lanes_[lane(StreamKind::kCompute)].waits);
      wait_for(lane(StreamKind::kCompute), mark(lane_of(c->group)));
    } else if (const auto* o = std::get_if<Overlap>(&instr.what)) {
      if (!run_inside(o->communication, p.communication, p, instr, extra)) return false;
      place_kernel(o->kernel, varied_kernel(run.segment, instr_, p.kernel), instr,
                   issue(p.kernel_host),
                   state_.prices.beside_collective(rank_.machine, o->kernel.work));
      wait_for(lane(StreamKind::kCompute), mark(lane_of(o->communication.group)));
    } else if (p.synchronizes) {
      flush();
      issue(p.host + extra, 0);
      synchronize(mark(lane(StreamKind::kCompute)));
    } else if (merges) {
      begin_run(step, priced.beside);
      const std::int64_t host = p.host + extra;
      gathered_ =
          gathered_.then({p.duration, host, host + state_.prices.launch_latency() + p.duration});
      if constexpr (Sink::kAnnotates) add_part(run.segment);
    } else {
      place_kernel(std::get<Kernel>(instr.what), varied_kernel(run.segment, instr_, p.duration),
                   instr, issue(p.host + extra), priced.beside);
    }
    extra = 0;
  }
  note_memory(segment.instrs.size());
  if (priced.trailing_host > 0) {
    if (merges) {
      begin_run(step, priced.beside);
      gathered_ = gathered_.then({0, priced.trailing_host, 0});
    } else {
      issue(priced.trailing_host, 0);
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
  const std::size_t l = lane_of(work.group);
  if (!arrived_) {
    wait_for_task(lane(StreamKind::kCompute), issue(p.host + extra));
    wait_for(l, mark(lane(StreamKind::kCompute)));
  }
  return run_collective(l, work.group, duration, [&] {
    TaskInfo i = info(Activity::kCollective, 0, 0);
    if constexpr (Sink::kAnnotates) {
      i.name = state_.names.collective[static_cast<std::size_t>(work.op)];
      i.label = state_.sink.name_of(instr.label);
    }
    i.collective = p.collective;
    return i;
  });
}

// The host goes on when that has happened.
template <class Sink>
void RankLowering<Sink>::synchronize(const Ready& after) {
  wait_for(kHostLane, after);
  host_last_ =
      place(kHostLane, 0, [this] { return info(Activity::kHost, state_.names.synchronize, 0); });
}

template <class Sink>
void RankLowering<Sink>::place_kernel(const Kernel& k, std::int64_t duration, const Instr& instr,
                                      Task after, const Slowdowns& beside) {
  place(
      lane(StreamKind::kCompute), duration,
      [&] {
        TaskInfo i = info(instr.activity, 0, 0);
        if constexpr (Sink::kAnnotates) {
          i.name = state_.sink.name_of(k.name);
          i.label = state_.sink.name_of(instr.label);
        }
        return i;
      },
      after, &beside);
}

template <class Sink>
template <class Info>
bool RankLowering<Sink>::run_collective(std::size_t l, GroupKind of, std::int64_t time,
                                        const Info& make) {
  const auto kind = static_cast<std::size_t>(of);
  const auto& group = members(of);
  if (group.size() <= 1) {
    place(l, time, make);
    return true;
  }
  auto& meeting = state_.meeting(kind, group.front(), met_[kind] + 1);
  if (!arrived_) {
    arrived_ = true;
    const auto joining = [&] {
      TaskInfo join = make();
      join.activity = Activity::kJoin;
      join.collective = -1;
      return join;
    };
    Sink::include(meeting.arrivals, place(l, 0, joining));
    if (++meeting.arrived == group.size())
      meeting.done =
          state_.sink.add(kNoStream, 0, kNobody, step_, meeting.arrivals, kNone, joining);
  }
  if (meeting.arrived < group.size()) return false;
  place(l, time, make, meeting.done);
  ++met_[kind];
  arrived_ = false;
  return true;
}

template <class Sink>
bool RankLowering<Sink>::run_collective(const RunCollective& c) {
  flush();
  if (!arrived_) wait_for_task(lane(c.stream), issue(now_->host));
  const auto [index, time] = state_.prices.collective(rank_.machine, c.work);
  return run_collective(lane(c.stream), c.work.group, time, [&, which = index] {
    TaskInfo i = info(Activity::kCollective,
                      state_.names.collective[static_cast<std::size_t>(c.work.op)], 0);
    if constexpr (Sink::kAnnotates) i.label = state_.sink.name_of(c.label);
    i.collective = which;
    return i;
  });
}

template <class Sink>
void RankLowering<Sink>::run_kernel(const RunKernel& k) {
  flush();
  const Task after = issue(now_->host);
  const Slowdowns beside = state_.prices.beside_collective(rank_.machine, k.kernel.work);
  place(
      lane(k.stream), varied_kernel(state_.prices.kernel(rank_.machine, k.kernel.work)),
      [&] {
        TaskInfo i = info(k.activity, 0, k.label);
        if constexpr (Sink::kAnnotates) i.name = state_.sink.name_of(k.kernel.name);
        return i;
      },
      after, k.stream == StreamKind::kCompute ? &beside : nullptr);
}

template <class Sink>
const LinkShare& RankLowering<Sink>::links_of(const RankProgram& rank) const {
  return state_.program.machines[rank.machine].at(GroupKind::kPipeline);
}

template <class Sink>
const typename RankLowering<Sink>::Route& RankLowering<Sink>::route(std::int32_t other, Bytes bytes,
                                                                    bool outward) {
  const std::int32_t key = outward ? other : -1 - other;
  for (const Route& known : routes_)
    if (known.peer == key && known.bytes == bytes) return known;
  const RankProgram& there = state_.program.ranks[static_cast<std::size_t>(other)];
  int from = rank_.rank, to = there.rank;
  if (!outward) std::swap(from, to);
  const LinkShare links = slower(links_of(rank_), links_of(there));
  const Seconds latency = point_to_point_time(state_.cluster, from, to, Bytes(0), links);
  const Seconds whole = point_to_point_time(state_.cluster, from, to, bytes, links);
  routes_.push_back(
      {key, bytes, to_sim_time(max(Seconds(0), whole - latency)).ps, to_sim_time(latency).ps});
  return routes_.back();
}

template <class Sink>
TaskInfo RankLowering<Sink>::message_info(Activity activity, Bytes bytes, std::uint32_t flow) {
  TaskInfo i =
      info(activity, activity == Activity::kSend ? state_.names.send : state_.names.receive, 0);
  i.flow = flow;
  i.collective =
      state_.prices
          .collective(rank_.machine, {CollectiveOp::kSendRecv, GroupKind::kPipeline, bytes})
          .first;
  return i;
}

template <class Sink>
void RankLowering<Sink>::send(const Send& s) {
  flush();
  const std::int32_t to = peer(s.peer);
  const std::int64_t occupied = route(to, s.bytes, true).occupied;
  const Task after = issue(now_->host);
  const std::uint32_t flow = ++state_.flows;
  const Task t = place(
      lane(s.stream), occupied, [&] { return message_info(Activity::kSend, s.bytes, flow); },
      after);
  state_.messages[static_cast<std::size_t>(to)].push_back(
      {static_cast<std::int32_t>(index_), tag(s.tag), step_, flow, t});
}

// The message that has been sent, if it has, out of the inbox.
template <class Sink>
std::optional<typename LoweringState<Sink>::Message> RankLowering<Sink>::take_message(
    std::int32_t from, std::uint32_t message_tag) {
  auto& inbox = state_.messages[index_];
  const auto it = std::find_if(inbox.begin(), inbox.end(), [&](const auto& m) {
    return m.from == from && m.tag == message_tag && m.step == step_;
  });
  if (it == inbox.end()) return {};
  const auto message = *it;
  inbox.erase(it);
  return message;
}

template <class Sink>
bool RankLowering<Sink>::receive(const Receive& r) {
  flush();
  const std::int32_t from = peer(r.peer);
  const auto message = take_message(from, tag(r.tag));
  if (!message) return false;
  const Task after = issue(now_->host);
  Ready transfer{};
  Sink::include(transfer, message->transfer);
  // A latency is a delay, not a rate: it is on no stream, so messages do not queue for it.
  const Task arrival = delay(
      route(from, r.bytes, false).latency,
      [&] { return message_info(Activity::kReceive, r.bytes, message->flow); }, transfer, after);
  wait_for_task(lane(StreamKind::kCompute), arrival);
  return true;
}

// One kernel: it starts when it has been issued and its stream is free, and holds the stream until
// all its messages are done.
template <class Sink>
bool RankLowering<Sink>::exchange(const Exchange& x) {
  flush();
  const std::size_t l = lane(StreamKind::kMessages);
  const auto joining = [&] { return info(Activity::kJoin, state_.names.exchange, 0); };
  if (!arrived_) {
    arrived_ = true;
    arrival_ = place(l, 0, joining, issue(now_->host));
    state_.sink.hold(arrival_);
    for (const Exchange::Half& h : x.halves)
      if (!h.sends)
        state_.connection(peer(h.peer), static_cast<std::int32_t>(index_))
            .awaited.push_back({peer(h.peer), tag(h.tag), step_, 0, arrival_});
  }
  bool receives = false;
  for (; half_ < x.halves.size(); ++half_) {
    const Exchange::Half& h = x.halves[half_];
    if (!(h.sends ? exchange_send(h) : exchange_receive(h))) return false;
  }
  for (const Exchange::Half& h : x.halves) receives |= !h.sends;
  if (receives) {
    if (lanes_[l].last != arrival_) state_.sink.hold(lanes_[l].last);
    wait_for(l, received_);
    place(l, 0, joining);
  }
  Sink::clear(received_);
  half_ = 0;
  arrived_ = false;
  return true;
}

// NCCL's receivers have buffers, in slots: a send is done when it is in them. It starts when the
// messages before it have left it enough slots; a message of more slots than there are, with its
// own receive.
template <class Sink>
std::optional<typename Sink::Task> RankLowering<Sink>::room_for(const Exchange::Half& h,
                                                                std::int64_t slots) {
  auto& c = state_.connection(static_cast<std::int32_t>(index_), peer(h.peer));
  const std::int64_t all = state_.program.message_slots;
  if (slots > all) {
    for (const auto& m : c.awaited)
      if (m.tag == tag(h.tag) && m.step == step_) return m.transfer;
    return {};
  }
  const std::int64_t received = c.sent + slots - all;  // before it can start
  if (received <= 0) return kNone;
  const auto it = std::lower_bound(
      c.received.begin(), c.received.end(), received,
      [](const std::pair<std::int64_t, Task>& r, std::int64_t n) { return r.first < n; });
  if (it == c.received.end()) return {};
  return it->second;
}

template <class Sink>
std::int64_t RankLowering<Sink>::slots_of(Bytes bytes) const {
  const std::int64_t slot = state_.program.message_slot.value;
  return slot > 0 ? (bytes.value + slot - 1) / slot : 1;
}

template <class Sink>
bool RankLowering<Sink>::exchange_send(const Exchange::Half& h) {
  const std::int32_t to = peer(h.peer);
  const std::int64_t slots = slots_of(h.bytes);
  const std::optional<Task> room = room_for(h, slots);
  if (!room) return false;
  state_.connection(static_cast<std::int32_t>(index_), to).sent += slots;
  const std::uint32_t flow = ++state_.flows;
  const Task t = place(
      lane(StreamKind::kMessages), route(to, h.bytes, true).occupied,
      [&] { return message_info(Activity::kSend, h.bytes, flow); }, *room);
  state_.messages[static_cast<std::size_t>(to)].push_back(
      {static_cast<std::int32_t>(index_), tag(h.tag), step_, flow, t});
  return true;
}

template <class Sink>
bool RankLowering<Sink>::exchange_receive(const Exchange::Half& h) {
  const std::int32_t from = peer(h.peer);
  const auto message = take_message(from, tag(h.tag));
  if (!message) return false;
  Ready transfer{};
  Sink::include(transfer, message->transfer);
  const Task arrival = delay(
      route(from, h.bytes, false).latency,
      [&] { return message_info(Activity::kReceive, h.bytes, message->flow); }, transfer, arrival_);
  auto& c = state_.connection(from, static_cast<std::int32_t>(index_));
  std::erase_if(c.awaited, [&](const auto& m) { return m.tag == tag(h.tag) && m.step == step_; });
  const std::int64_t before = c.received.empty() ? 0 : c.received.back().first;
  c.received.emplace_back(before + slots_of(h.bytes), arrival);
  Sink::include(received_, arrival);
  return true;
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
    r.send(s);
    return true;
  }
  bool operator()(const Receive& s) const { return r.receive(s); }
  bool operator()(const Exchange& x) const { return r.exchange(x); }
  bool operator()(const Record& e) const {
    if (e.stream == StreamKind::kCompute) r.flush();
    r.events_[static_cast<std::size_t>(e.event)] = r.mark(r.lane(e.stream));
    return true;
  }
  bool operator()(const Wait& e) const {
    if (e.stream == StreamKind::kCompute) r.flush();
    r.wait_for(r.lane(e.stream), r.events_[static_cast<std::size_t>(e.event)]);
    return true;
  }
  bool operator()(const HostWait& e) const {
    r.flush();
    r.synchronize(r.events_[static_cast<std::size_t>(e.event)]);
    return true;
  }
  bool operator()(const Memory& m) const {
    if (!r.state_.options.merge) r.remember(m.change);
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
      now_ = nullptr;
      flush();
      call_ = 0;
      ++step_;
      variation_.begin_step();
      moved = true;
      continue;
    }
    const StepList::Call& call = calls[call_];
    const PassDigest& pass = *digests_[call.pass];
    micro_batch_ = call.micro_batch;
    for (; at_ < pass.size(); ++at_) {
      const std::size_t instr = instr_, half = half_;
      const bool arrived = arrived_;
      now_ = &pass[at_];
      if (!execute(*now_)) return moved || instr_ != instr || half_ != half || arrived_ != arrived;
      moved = true;
    }
    if (!state_.options.merge_passes) flush();
    at_ = 0;
    ++call_;
  }
  return moved;
}

template class LoweringState<GraphSink>;
template class LoweringState<ClockSink>;
template class RankLowering<GraphSink>;
template class RankLowering<ClockSink>;

}  // namespace rehearse
