#include "strategies/priced_segment.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "sim/base/sim_time.hpp"

namespace rehearse {

Prices::Prices(const Program& program, const Cluster& cluster, Clocks clocks)
    : program_(program), cluster_(cluster), clocks_(clocks) {
  launch_latency_ = to_sim_time(cluster.host.launch_latency).ps;
  update();
}

void Prices::update() {
  bool inside = false;  // of segments
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    if (groups_[g] == program_.groups[g]) continue;
    groups_[g] = program_.groups[g];
    const auto kind = static_cast<GroupKind>(g);
    std::erase_if(known_, [kind](const Known& k) { return k.group == kind; });
    inside |= kind != GroupKind::kData && kind != GroupKind::kPipeline &&
              kind != GroupKind::kEmbedding && kind != GroupKind::kCopies &&
              kind != GroupKind::kExpertData && kind != GroupKind::kToHost &&
              kind != GroupKind::kFromHost;
  }
  constexpr std::size_t kForgotten = 4096;  // prices of groups that were: not to be kept for ever
  if (inside || collectives_.size() > kForgotten) {
    segments_.clear();
    collectives_.clear();
    rates_.clear();
    known_.clear();
  }
  segments_.resize(program_.machines.size());
  for (std::size_t m = 0; m < segments_.size(); ++m)
    while (segments_[m].size() < program_.segments.size())
      segments_[m].push_back(price(m, program_.segments[segments_[m].size()]));
}

std::int64_t Prices::kernel(std::size_t machine, const KernelWork& work) const {
  const Machine& m = program_.machines[machine];
  const Gpu& gpu = cluster_.gpu_of_type(m.gpu_type);
  return to_sim_time((kernel_time(gpu, work, clocks_) + gpu.kernel_gap) / m.speed).ps;
}

namespace {

CollectivePrice host_copy(const HostLink& link, Bytes bytes) {
  CollectivePrice p;
  p.time = link.latency + bytes / link.bandwidth;
  p.payload = p.wire_bytes_per_rank = bytes;
  return p;
}

// Few distinct slowdowns are few classes of tasks.
Slowdowns rounded(const Slowdowns& s) {
  const auto fiftieths = [](double by) { return std::round(by * 50) / 50; };
  return {fiftieths(s.kernel), fiftieths(s.collective), fiftieths(s.waiting)};
}

}  // namespace

Slowdowns Prices::beside_collective(std::size_t machine, const KernelWork& work) const {
  const Gpu& gpu = cluster_.gpu_of_type(program_.machines[machine].gpu_type);
  return rounded(rehearse::beside_collective(gpu, work, clocks_));
}

std::pair<std::int32_t, std::int64_t> Prices::collective(std::size_t machine,
                                                         const CollectiveWork& work) {
  const LinkShare& links = program_.machines[machine].at(work.group);
  Known k{work.op, work.group, work.bytes, links, 0, 0};
  const auto at = std::lower_bound(known_.begin(), known_.end(), k);
  if (at != known_.end() && !(k < *at)) return {at->index, at->time};
  CommGroup group = program_.groups[static_cast<int>(work.group)];
  group.links = links;
  const bool to_host = work.group == GroupKind::kToHost || work.group == GroupKind::kFromHost;
  CollectivePrice p = to_host ? host_copy(cluster_.gpu.host_link, work.bytes)
                              : price_collective(cluster_, work.op, work.bytes, group);
  const Gpu& gpu = cluster_.gpu;
  const double slower = to_host ? 0 : gpu.collectives_follow_clock * (1 / gpu.sustained_clock - 1);
  p.time = p.time * (1 + slower);
  k.index = static_cast<std::int32_t>(collectives_.size());
  k.time = to_sim_time(p.time).ps;
  collectives_.push_back({to_host ? "copy" : std::string(to_string(work.op)),
                          std::string(to_string(work.group)), p.payload, p.wire_bytes_per_rank});
  rates_.push_back(to_host ? TierRates{} : tier_rates(cluster_, p, group));
  known_.insert(at, k);
  return {k.index, k.time};
}

namespace {

// `hidden`: of its time, what runs beside a kernel.
void add_use(SegmentShare& share, std::int32_t collective, std::int64_t ps, std::int64_t hidden) {
  auto& uses = share.collectives;
  auto use = std::find_if(uses.begin(), uses.end(),
                          [&](const auto& u) { return u.collective == collective; });
  if (use == uses.end()) use = uses.insert(uses.end(), {collective, 0, 0, 0});
  ++use->count;
  use->ps += ps;
  use->hidden_ps += hidden;
}

}  // namespace

// When a kernel and a communication that start together end: while both run each is slowed, as the
// engine slows tasks of different streams.
std::pair<std::int64_t, std::int64_t> Prices::side_by_side(std::int64_t kernel, Slowdowns slow,
                                                           std::int64_t communication) const {
  const auto scaled = [](std::int64_t ps, double by) {
    return std::llround(static_cast<double>(ps) * by);
  };
  const std::int64_t k = scaled(kernel, slow.kernel), c = scaled(communication, slow.collective);
  if (k <= c) return {k, k + communication - scaled(k, 1 / slow.collective)};
  return {c + kernel - scaled(c, 1 / slow.kernel), c};
}

// What the host waits for in the check of a communication, before it issues that.
std::int64_t Prices::check_wait(const Instr& instr) const {
  const auto* const meets = std::get_if<CollectiveWork>(&instr.what);
  const auto* const beside = std::get_if<Overlap>(&instr.what);
  if (!meets && !beside) return 0;
  const GroupKind group = meets ? meets->group : beside->communication.group;
  return to_sim_time(program_.check_waits[static_cast<std::size_t>(group)] / cluster_.host.speed)
      .ps;
}

PricedSegment Prices::price(std::size_t machine, const Segment& segment) {
  PricedSegment out;
  Slowdowns sum{0, 0, 0};
  double kernels = 0;
  std::int64_t host = 0;
  const double host_speed = cluster_.host.speed;
  std::vector<std::int64_t> parts(static_cast<std::size_t>(Activity::kJoin) + 1, 0);
  const auto part = [&](Activity a) -> std::int64_t& { return parts[static_cast<std::size_t>(a)]; };
  for (std::uint32_t i = 0; i < segment.instrs.size(); ++i) {
    const Instr& instr = segment.instrs[i];
    host += to_sim_time(instr.host / host_speed).ps + check_wait(instr);
    PricedInstr p{i, 0, host, -1};
    Run run{0, host, 0};
    if (const auto* k = std::get_if<Kernel>(&instr.what)) {
      p.duration = kernel(machine, k->work);
      const Slowdowns slow = beside_collective(machine, k->work);
      const auto alone = static_cast<double>(p.duration);
      kernels += alone;
      sum.kernel += alone * slow.kernel;
      sum.collective += alone * slow.collective;
      sum.waiting += alone * slow.waiting;
      part(instr.activity) += p.duration;
      run.latest = host + launch_latency_ + p.duration;
    } else if (const auto* c = std::get_if<CollectiveWork>(&instr.what)) {
      std::tie(p.collective, p.duration) = collective(machine, *c);
      part(Activity::kCollective) += p.duration;
      add_use(out.share, p.collective, p.duration, 0);
      run.latest = host + launch_latency_ + p.duration;
    } else if (const auto* o = std::get_if<Overlap>(&instr.what)) {
      std::tie(p.collective, p.communication) = collective(machine, o->communication);
      p.kernel = kernel(machine, o->kernel.work);
      p.kernel_host = to_sim_time(o->kernel_host / host_speed).ps;
      const auto [kernel_end, communication_end] =
          side_by_side(p.kernel, beside_collective(machine, o->kernel.work), p.communication);
      p.duration = std::max(communication_end, kernel_end);
      part(instr.activity) += kernel_end;
      part(Activity::kCollective) += p.duration - kernel_end;
      add_use(out.share, p.collective, communication_end, std::min(communication_end, kernel_end));
      run.host += p.kernel_host;
      run.latest = launch_latency_ + std::max(host + communication_end, run.host + kernel_end);
    } else if (std::holds_alternative<Synchronize>(instr.what)) {
      p.synchronizes = out.synchronizes = true;
      run.latest = host;
    } else {
      continue;
    }
    run.duration = p.duration;
    out.instrs.push_back(p);
    out.run = out.run.then(run);
    host = 0;
  }
  if (kernels > 0)
    out.beside = rounded({sum.kernel / kernels, sum.collective / kernels, sum.waiting / kernels});
  out.trailing_host = host;
  if (host > 0) out.run.host += host;
  for (std::size_t a = 0; a < parts.size(); ++a)
    if (parts[a] > 0) out.share.parts_ps.emplace_back(static_cast<Activity>(a), parts[a]);
  return out;
}

}  // namespace rehearse
