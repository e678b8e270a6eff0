#include "strategies/rank_lowering.hpp"

#include <algorithm>
#include <string>

#include "sim/base/sim_time.hpp"

namespace rehearse {
namespace {

std::string lane_name(std::size_t lane, std::size_t tensor, std::size_t context) {
  if (lane == tensor) return "nccl tp";
  if (lane == context) return "nccl cp";
  if (lane < kStreamKinds) return std::string(to_string(static_cast<StreamKind>(lane)));
  return "host";
}

}  // namespace

LoweringState::LoweringState(const Program& p, const Cluster& c, const LowerOptions& o, Prices& pr)
    : program(p), cluster(c), options(o), prices(pr) {
  notes.steps = o.steps;
  for (const std::string& n : p.names) intern(n);
  for (const RankProgram& r : p.ranks)
    notes.devices.push_back({r.rank, r.pipeline_rank, r.represents});
  if (!o.merge) notes.memory.resize(p.ranks.size());
  builder.set_interference(1 / c.gpu.compute_slowdown, 1 / c.gpu.communication_slowdown);
}

std::uint32_t LoweringState::intern(const std::string& name) {
  const auto [it, added] = names_.try_emplace(name, static_cast<std::uint32_t>(notes.names.size()));
  if (name.empty()) return it->second = 0;
  if (added) notes.names.push_back(name);
  return it->second;
}

TaskId LoweringState::add(StreamId stream, std::int64_t duration, const TaskInfo& info) {
  const TaskId t = builder.add_task(stream, SimTime(duration));
  notes.tasks.push_back(info);
  return t;
}

std::int32_t LoweringState::share_of(const std::vector<SegmentId>& segments) {
  const auto [it, added] =
      shares_.try_emplace(segments, static_cast<std::int32_t>(notes.shares.size()));
  if (!added) return it->second;
  std::map<Activity, std::int64_t> parts;
  std::map<std::int32_t, SegmentShare::CollectiveUse> uses;
  for (SegmentId id : segments) {
    const SegmentShare& s = prices.segment(id).share;
    for (const auto& [activity, ps] : s.parts_ps) parts[activity] += ps;
    for (const auto& u : s.collectives) {
      auto& sum = uses[u.collective];
      sum.collective = u.collective;
      sum.count += u.count;
      sum.ps += u.ps;
      sum.hidden_ps += u.hidden_ps;
    }
  }
  SegmentShare out;
  out.parts_ps.assign(parts.begin(), parts.end());
  for (const auto& [c, u] : uses) out.collectives.push_back(u);
  notes.shares.push_back(std::move(out));
  return it->second;
}

Lowered LoweringState::finish() {
  notes.collectives = prices.collectives();
  return {std::move(builder).freeze(), std::move(notes)};
}

RankLowering::RankLowering(LoweringState& state, std::uint32_t index)
    : state_(state), index_(index), rank_(state.program.ranks[index]) {
  events_.resize(static_cast<std::size_t>(rank_.events));
  state_.notes.compute_stream.push_back(stream(lane(StreamKind::kCompute)));
  if (state_.options.merge) return;
  const std::pair<MemoryCategory, Bytes> residents[] = {
      {MemoryCategory::kParameters, rank_.parameters},
      {MemoryCategory::kGradients, rank_.persistent_gradients},
      {MemoryCategory::kOptimizerStates, rank_.optimizer_states},
      {MemoryCategory::kTemporary, rank_.buffers}};
  for (const auto& [category, bytes] : residents)
    if (bytes.value > 0) allocations_.push_back({0, category, bytes.value});
}

StreamId RankLowering::stream(std::size_t l) {
  LaneState& s = lanes_[l];
  if (s.stream != kNoStream) return s.stream;
  const StreamClass cls = l == lane(StreamKind::kCompute) ? StreamClass::kForeground
                          : l == kHostLane || l == lane(StreamKind::kCopy)
                              ? StreamClass::kIndependent
                              : StreamClass::kBackground;
  s.stream = state_.builder.add_stream(index_, cls);
  state_.notes.streams.push_back({index_, lane_name(l, kTensorLane, kContextLane)});
  return s.stream;
}

TaskInfo RankLowering::info(Activity activity, std::uint32_t name, std::uint32_t label) const {
  TaskInfo i;
  i.name = name;
  i.label = label;
  i.activity = activity;
  i.step = static_cast<std::uint8_t>(step_);
  i.device = index_;
  if (at_ < rank_.steps.size()) {
    i.micro_batch = rank_.steps[at_].micro_batch;
    i.chunk = rank_.steps[at_].chunk;
  }
  return i;
}

TaskId RankLowering::place(std::size_t l, std::int64_t duration, const TaskInfo& i, TaskId after) {
  const StreamId s = stream(l);
  const TaskId t = state_.add(s, duration, i);
  LaneState& ls = lanes_[l];
  for (TaskId w : ls.waits) state_.edge(w, t);
  ls.waits.clear();
  state_.edge(after, t);
  ls.last = t;
  if (!state_.options.merge && l != kHostLane) {
    for (MemoryEvent& e : allocations_) {
      e.task = t;
      state_.notes.memory[index_].push_back(e);
    }
    allocations_.clear();
    newest_ = t;
  }
  return t;
}

RankLowering::Event RankLowering::mark(std::size_t l) {
  Event e{lanes_[l].waits};
  if (lanes_[l].last != kNoTask) e.tasks.push_back(lanes_[l].last);
  return e;
}

void RankLowering::wait_for(std::size_t l, const Event& e) {
  auto& waits = lanes_[l].waits;
  for (TaskId t : e.tasks)
    if (t != lanes_[l].last && std::find(waits.begin(), waits.end(), t) == waits.end())
      waits.push_back(t);
}

TaskId RankLowering::issue(std::int64_t host, std::int64_t lag) {
  const TaskId before = host_last_;
  if (host > 0)
    host_last_ = place(kHostLane, host, info(Activity::kHost, state_.intern("issue"), 0));
  if (lag == 0) return before;
  const TaskId delay = state_.add(kNoStream, lag, info(Activity::kHost, state_.intern("issue"), 0));
  state_.edge(before, delay);
  return delay;
}

// The segments gathered so far become one task.
void RankLowering::flush() {
  if (run_.empty()) return;
  const TaskId after = issue(gathered_.host, gathered_.lag());
  if (gathered_.duration > 0) {
    const Segment& first = state_.program.segments[run_.front()];
    TaskInfo i = info(first.instrs.empty() ? Activity::kForward : first.instrs.front().activity,
                      state_.intern(first.name), 0);
    i.micro_batch = run_micro_batch_;
    i.chunk = run_chunk_;
    i.share = state_.share_of(run_);
    place(lane(StreamKind::kCompute), gathered_.duration, i, after);
  }
  run_.clear();
  gathered_ = {};
}

void RankLowering::remember(const MemoryChange& c) {
  if (c.bytes.value == 0) return;
  const MemoryEvent e{newest_ == kNoTask ? 0 : newest_, c.category,
                      c.allocate ? c.bytes.value : -c.bytes.value};
  if (c.allocate || newest_ == kNoTask || !allocations_.empty())
    allocations_.push_back(e);
  else
    state_.notes.memory[index_].push_back(e);
}

std::int64_t RankLowering::host_of(const Step& step) const {
  return to_sim_time(step.host / state_.cluster.host.speed).ps;
}

bool RankLowering::run_segment(const Step& step, const RunSegment& run) {
  const bool together = rank_.groups[static_cast<int>(GroupKind::kTensor)].size() > 1 ||
                        rank_.groups[static_cast<int>(GroupKind::kContext)].size() > 1;
  // Where compute and communication slow each other, a segment with both has no fixed duration.
  const Gpu& gpu = state_.cluster.gpu;
  const bool slows = (gpu.compute_slowdown > 1 || gpu.communication_slowdown > 1) &&
                     !state_.prices.segment(run.segment).share.collectives.empty();
  if (!state_.options.merge || together || slows) return run_instr(step, run);
  const Run extra{0, host_of(step), 0};
  if (run_.empty()) {
    run_micro_batch_ = step.micro_batch;
    run_chunk_ = step.chunk;
  }
  gathered_ = gathered_.then(extra).then(state_.prices.segment(run.segment).run);
  run_.push_back(run.segment);
  return true;
}

// Instruction by instruction: for traces, and where ranks that meet inside segments are apart.
bool RankLowering::run_instr(const Step& step, const RunSegment& run) {
  flush();
  const Segment& segment = state_.program.segments[run.segment];
  const PricedSegment& priced = state_.prices.segment(run.segment);
  const auto note_memory = [&](std::size_t end) {
    for (; memory_ < end; ++memory_)
      if (const auto* c = std::get_if<MemoryChange>(&segment.instrs[memory_].what))
        if (!state_.options.merge) remember(*c);
  };
  std::int64_t extra = instr_ == 0 ? host_of(step) : 0;
  for (; instr_ < priced.instrs.size(); ++instr_) {
    const PricedInstr& p = priced.instrs[instr_];
    const Instr& instr = segment.instrs[p.instr];
    note_memory(p.instr);
    if (const auto* c = std::get_if<CollectiveWork>(&instr.what)) {
      if (!run_inside(*c, p, instr, extra)) return false;
      const std::size_t l = lane_of(c->group);
      lanes_[lane(StreamKind::kCompute)].waits.clear();
      wait_for(lane(StreamKind::kCompute), mark(l));
    } else if (const auto* o = std::get_if<Overlap>(&instr.what)) {
      if (!run_inside(o->communication, p, instr, extra)) return false;
      place_kernel(o->kernel, p.kernel, instr, issue(p.kernel_host));
      wait_for(lane(StreamKind::kCompute), mark(lane_of(o->communication.group)));
    } else {
      place_kernel(std::get<Kernel>(instr.what), p.duration, instr, issue(p.host + extra));
    }
    extra = 0;
  }
  note_memory(segment.instrs.size());
  if (priced.trailing_host > 0) issue(priced.trailing_host, 0);
  instr_ = memory_ = 0;
  return true;
}

// A communication of a segment, after everything on the compute stream.
bool RankLowering::run_inside(const CollectiveWork& work, const PricedInstr& p, const Instr& instr,
                              std::int64_t extra) {
  const std::size_t l = lane_of(work.group);
  if (!arrived_) {
    wait_for(lane(StreamKind::kCompute), {{issue(p.host + extra)}});
    wait_for(l, mark(lane(StreamKind::kCompute)));
  }
  TaskInfo i = info(Activity::kCollective, state_.intern("nccl " + std::string(to_string(work.op))),
                    state_.intern(state_.program.names[instr.label]));
  i.collective = p.collective;
  return run_collective(l, work, i, static_cast<int>(work.group));
}

void RankLowering::place_kernel(const Kernel& k, std::int64_t duration, const Instr& instr,
                                TaskId after) {
  place(lane(StreamKind::kCompute), duration,
        info(instr.activity, state_.intern(state_.program.names[k.name]),
             state_.intern(state_.program.names[instr.label])),
        after);
}

bool RankLowering::run_collective(std::size_t l, const CollectiveWork& work, const TaskInfo& i,
                                  int kind) {
  const auto& members = rank_.groups[static_cast<std::size_t>(kind)];
  const auto [collective, time] = state_.prices.collective(work);
  if (members.size() <= 1) {
    place(l, time, i);
    return true;
  }
  auto& meeting =
      state_.meetings[{kind, members.front(), met_[static_cast<std::size_t>(kind)], step_}];
  if (!arrived_) {
    arrived_ = true;
    TaskInfo join = i;
    join.activity = Activity::kJoin;
    join.collective = -1;
    meeting.arrivals.push_back(place(l, 0, join));
    if (meeting.arrivals.size() == members.size()) {
      const TaskId all = state_.add(kNoStream, 0, join);
      for (TaskId a : meeting.arrivals) state_.edge(a, all);
      meeting.done.push_back(all);
    }
  }
  if (meeting.done.empty()) return false;
  place(l, time, i, meeting.done.front());
  ++met_[static_cast<std::size_t>(kind)];
  arrived_ = false;
  return true;
}

void RankLowering::run_kernel(const RunKernel& k) {
  const std::int64_t host = host_of(rank_.steps[at_]);
  const TaskId after = issue(host);
  place(lane(k.stream), state_.prices.kernel(k.kernel.work),
        info(k.activity, state_.intern(state_.program.names[k.kernel.name]), k.label), after);
}

void RankLowering::send(const Send& s) {
  const RankProgram& to = state_.program.ranks[static_cast<std::size_t>(s.peer)];
  const Seconds latency = point_to_point_time(state_.cluster, rank_.rank, to.rank, Bytes(0));
  const Seconds whole = point_to_point_time(state_.cluster, rank_.rank, to.rank, s.bytes);
  const std::int64_t occupied = to_sim_time(max(Seconds(0), whole - latency)).ps;
  const TaskId after = issue(host_of(rank_.steps[at_]));
  TaskInfo i = info(Activity::kSend, state_.intern("nccl send"), 0);
  i.flow = ++state_.flows;
  i.collective =
      state_.prices.collective({CollectiveOp::kSendRecv, GroupKind::kPipeline, s.bytes}).first;
  const TaskId t = place(lane(s.stream), occupied, i, after);
  state_.messages[{static_cast<std::int32_t>(index_), s.peer, s.tag, step_}] = {t, i.flow};
}

bool RankLowering::receive(const Receive& r) {
  const auto it = state_.messages.find({r.peer, static_cast<std::int32_t>(index_), r.tag, step_});
  if (it == state_.messages.end()) return false;
  const auto [transfer, flow] = it->second;
  state_.messages.erase(it);
  const RankProgram& from = state_.program.ranks[static_cast<std::size_t>(r.peer)];
  const Seconds latency = point_to_point_time(state_.cluster, from.rank, rank_.rank, Bytes(0));
  const TaskId after = issue(host_of(rank_.steps[at_]));
  TaskInfo i = info(Activity::kReceive, state_.intern("nccl receive"), 0);
  i.flow = flow;
  i.collective =
      state_.prices.collective({CollectiveOp::kSendRecv, GroupKind::kPipeline, r.bytes}).first;
  // A latency is a delay, not a rate: it is on no stream, so messages do not queue for it.
  const TaskId arrival = state_.add(kNoStream, to_sim_time(latency).ps, i);
  state_.edge(transfer, arrival);
  state_.edge(after, arrival);
  wait_for(lane(StreamKind::kCompute), {{arrival}});
  return true;
}

bool RankLowering::execute(const Step& step) {
  struct Visitor {
    RankLowering& r;
    const Step& step;
    bool operator()(const RunSegment& s) const { return r.run_segment(step, s); }
    bool operator()(const RunKernel& k) const {
      r.flush();
      r.run_kernel(k);
      return true;
    }
    bool operator()(const RunCollective& c) const {
      r.flush();
      if (!r.arrived_) {
        const TaskId after = r.issue(r.host_of(step));
        if (after != kNoTask) r.wait_for(r.lane(c.stream), {{after}});
      }
      TaskInfo i = r.info(Activity::kCollective,
                          r.state_.intern("nccl " + std::string(to_string(c.work.op))),
                          r.state_.intern(r.state_.program.names[c.label]));
      i.collective = r.state_.prices.collective(c.work).first;
      return r.run_collective(r.lane(c.stream), c.work, i, static_cast<int>(c.work.group));
    }
    bool operator()(const Send& s) const {
      r.flush();
      r.send(s);
      return true;
    }
    bool operator()(const Receive& s) const {
      r.flush();
      return r.receive(s);
    }
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
      r.wait_for(kHostLane, r.events_[static_cast<std::size_t>(e.event)]);
      r.host_last_ =
          r.place(kHostLane, 0, r.info(Activity::kHost, r.state_.intern("synchronize"), 0));
      return true;
    }
    bool operator()(const Memory& m) const {
      if (!r.state_.options.merge) r.remember(m.change);
      return true;
    }
  };
  return std::visit(Visitor{*this, step}, step.work);
}

bool RankLowering::advance() {
  bool moved = false;
  while (!finished()) {
    if (at_ == rank_.steps.size()) {
      flush();
      at_ = 0;
      ++step_;
      moved = true;
      continue;
    }
    const std::size_t instr = instr_;
    const bool arrived = arrived_;
    if (!execute(rank_.steps[at_])) return moved || instr_ != instr || arrived_ != arrived;
    ++at_;
    moved = true;
  }
  return moved;
}

}  // namespace rehearse
