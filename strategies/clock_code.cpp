#include "strategies/clock_code.hpp"

#include <algorithm>

#include "sim/base/sim_time.hpp"

namespace rehearse {
namespace {

using Kind = ClockOp::Kind;

std::uint8_t lane_of(StreamKind s) { return static_cast<std::uint8_t>(s); }

// Of a group whose ranks meet inside segments.
std::uint8_t lane_of(GroupKind g) {
  return g == GroupKind::kContext  ? kContextLane
         : g == GroupKind::kExpert ? kExpertLane
                                   : kTensorLane;
}

// Joins what is gathered into one task.
void gather(ClockCode& code, const Run& run, const Slowdowns& slowdowns) {
  if (code.empty() || code.back().kind != Kind::kRun || code.back().apart != nullptr ||
      code.back().single || !(code.back().slowdowns == slowdowns)) {
    ClockOp op;
    op.kind = Kind::kRun;
    op.slowdowns = slowdowns;
    code.push_back(op);
  }
  code.back().run = code.back().run.then(run);
}

ClockOp on_lane(Kind kind, std::uint8_t lane, std::int64_t host) {
  ClockOp op;
  op.kind = kind;
  op.lane = lane;
  op.host = host;
  return op;
}

}  // namespace

// As RankLowering walks a segment that is not merged as a whole.
void ClockCodes::translate_segment(ClockCode& code, std::size_t machine, SegmentId segment,
                                   std::int64_t host) {
  const PricedSegment& priced = prices_.segment(machine, segment);
  for (const PricedInstr& p : priced.instrs) {
    const Instr& instr = program_.segments[segment].instrs[p.instr];
    host += p.host;
    if (const auto* c = std::get_if<CollectiveWork>(&instr.what)) {
      ClockOp op = on_lane(Kind::kInside, lane_of(c->group), host);
      op.group = c->group;
      op.time = p.duration;
      op.collective = p.collective;
      code.push_back(op);
    } else if (const auto* o = std::get_if<Overlap>(&instr.what)) {
      ClockOp op = on_lane(Kind::kOverlap, lane_of(o->communication.group), host);
      op.group = o->communication.group;
      op.time = p.communication;
      op.collective = p.collective;
      op.beside = p.kernel;
      op.beside_host = p.kernel_host;
      op.slowdowns = prices_.beside_collective(machine, o->kernel.work);
      code.push_back(op);
    } else if (p.synchronizes) {
      code.push_back(on_lane(Kind::kSynchronize, kHostLane, host));
    } else {
      gather(code, {p.duration, host, host + prices_.launch_latency() + p.duration}, priced.beside);
    }
    host = 0;
  }
  if (priced.trailing_host > 0) gather(code, {0, priced.trailing_host, 0}, priced.beside);
}

void ClockCodes::translate_run(ClockCode& code, std::size_t machine, SegmentId segment,
                               std::int64_t host, bool together) {
  const PricedSegment& priced = prices_.segment(machine, segment);
  const Run whole = Run{0, host, 0}.then(priced.run);
  if (priced.synchronizes || (together && !splits_)) {
    translate_segment(code, machine, segment, host);
  } else if (together && !priced.share.collectives.empty()) {
    ClockOp op;
    op.kind = Kind::kRun;
    op.run = whole;
    const auto [apart, added] = apart_.try_emplace({machine, segment, host});
    if (added) translate_segment(apart->second, machine, segment, host);
    op.apart = &apart->second;
    op.overlaps = std::any_of(op.apart->begin(), op.apart->end(),
                              [](const ClockOp& in) { return in.kind == Kind::kOverlap; });
    code.push_back(op);
  } else {
    gather(code, whole, priced.beside);
  }
}

ClockCode ClockCodes::translate(const StepList::Pass& pass, std::size_t machine, bool together) {
  ClockCode code;
  for (const Step& step : pass) {
    if (std::holds_alternative<Memory>(step.work)) continue;
    const std::int64_t host =
        step.host.value == 0 ? 0 : to_sim_time(step.host / cluster_.host.speed).ps;
    if (const auto* run = std::get_if<RunSegment>(&step.work)) {
      translate_run(code, machine, run->segment, host, together);
      continue;
    }
    ClockOp op;
    op.host = host;
    op.step = &step;
    if (const auto* k = std::get_if<RunKernel>(&step.work)) {
      if (splits_ && k->stream == StreamKind::kCompute) {
        const std::int64_t time = prices_.kernel(machine, k->kernel.work);
        op.kind = Kind::kRun;
        op.run = {time, host, host + prices_.launch_latency() + time};
        op.slowdowns = prices_.beside_collective(machine, k->kernel.work);
        op.single = true;
        code.push_back(op);
        continue;
      }
      op.kind = Kind::kKernel;
      op.lane = lane_of(k->stream);
      op.time = prices_.kernel(machine, k->kernel.work);
    } else if (const auto* c = std::get_if<RunCollective>(&step.work)) {
      op.kind = Kind::kCollective;
      op.lane = lane_of(c->stream);
      op.group = c->work.group;
      std::tie(op.collective, op.time) = prices_.collective(machine, c->work);
    } else if (const auto* send = std::get_if<Send>(&step.work)) {
      op.kind = Kind::kSend;
      op.lane = lane_of(send->stream);
    } else if (std::holds_alternative<Receive>(step.work)) {
      op.kind = Kind::kReceive;
    } else if (std::holds_alternative<Exchange>(step.work)) {
      op.kind = Kind::kExchange;
      exchanges_ = true;
      op.lane = lane_of(StreamKind::kMessages);
    } else if (const auto* record = std::get_if<Record>(&step.work)) {
      op.kind = Kind::kRecord;
      op.lane = lane_of(record->stream);
      op.event = record->event;
    } else if (const auto* wait = std::get_if<Wait>(&step.work)) {
      op.kind = Kind::kWait;
      op.lane = lane_of(wait->stream);
      op.event = wait->event;
    } else if (const auto* host_wait = std::get_if<HostWait>(&step.work)) {
      op.kind = Kind::kHostWait;
      op.event = host_wait->event;
    }
    code.push_back(op);
  }
  return code;
}

const ClockCode& ClockCodes::of(const StepList::Pass& pass, std::size_t machine, bool together) {
  const auto [known, added] = known_.try_emplace({&pass, machine, together});
  if (added) known->second = translate(pass, machine, together);
  return known->second;
}

}  // namespace rehearse
