#include "strategies/priced_segment.hpp"

#include <algorithm>
#include <string>

#include "sim/base/sim_time.hpp"

namespace rehearse {

Run Run::then(const Run& next) const {
  return {duration + next.duration, host + next.host,
          std::max(latest + next.duration, host + next.latest)};
}

Prices::Prices(const Program& program, const Cluster& cluster, Clocks clocks)
    : program_(program), cluster_(cluster), clocks_(clocks) {
  launch_latency_ = to_sim_time(cluster.host.launch_latency).ps;
  segments_.reserve(program.segments.size());
  for (const Segment& s : program.segments) segments_.push_back(price(s));
}

std::int64_t Prices::kernel(const KernelWork& work) const {
  return to_sim_time(kernel_time(cluster_.gpu, work, clocks_)).ps;
}

std::pair<std::int32_t, std::int64_t> Prices::collective(const CollectiveWork& work) {
  for (const Known& k : known_)
    if (k.op == work.op && k.group == work.group && k.bytes == work.bytes) return {k.index, k.time};
  const CommGroup& group = program_.groups[static_cast<int>(work.group)];
  const CollectivePrice p = price_collective(cluster_, work.op, work.bytes, group);
  const auto index = static_cast<std::int32_t>(collectives_.size());
  collectives_.push_back({std::string(to_string(work.op)), std::string(to_string(work.group)),
                          p.payload, p.wire_bytes_per_rank});
  known_.push_back({work.op, work.group, work.bytes, index, to_sim_time(p.time).ps});
  return {index, known_.back().time};
}

PricedSegment Prices::price(const Segment& segment) {
  PricedSegment out;
  std::int64_t host = 0;
  const double host_speed = cluster_.host.speed;
  std::vector<std::int64_t> parts(static_cast<std::size_t>(Activity::kJoin) + 1, 0);
  for (std::uint32_t i = 0; i < segment.instrs.size(); ++i) {
    const Instr& instr = segment.instrs[i];
    host += to_sim_time(instr.host / host_speed).ps;
    PricedInstr p{i, 0, host, -1};
    if (const auto* k = std::get_if<Kernel>(&instr.what)) {
      p.duration = kernel(k->work);
      parts[static_cast<std::size_t>(instr.activity)] += p.duration;
    } else if (const auto* c = std::get_if<CollectiveWork>(&instr.what)) {
      std::tie(p.collective, p.duration) = collective(*c);
      parts[static_cast<std::size_t>(Activity::kCollective)] += p.duration;
      auto& uses = out.share.collectives;
      const auto use = std::find_if(uses.begin(), uses.end(),
                                    [&](const auto& u) { return u.collective == p.collective; });
      if (use == uses.end())
        uses.push_back({p.collective, 1, p.duration});
      else
        ++use->count, use->ps += p.duration;
    } else {
      continue;
    }
    out.instrs.push_back(p);
    out.run = out.run.then({p.duration, host, host + launch_latency_ + p.duration});
    host = 0;
  }
  out.trailing_host = host;
  if (host > 0) out.run.host += host;
  for (std::size_t a = 0; a < parts.size(); ++a)
    if (parts[a] > 0) out.share.parts_ps.emplace_back(static_cast<Activity>(a), parts[a]);
  return out;
}

}  // namespace rehearse
