#include "strategies/lowering_sinks.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "sim/base/huge_pages.hpp"
#include "sim/base/sim_time.hpp"

namespace rehearse {
namespace {

// Where more classes are wanted than a graph has.
TaskClass nearest(const std::vector<std::pair<Slowdowns, TaskClass>>& known, const Slowdowns& s) {
  const auto distance = [&](const auto& k) {
    return std::abs(k.first.kernel - s.kernel) + std::abs(k.first.collective - s.collective) +
           std::abs(k.first.waiting - s.waiting);
  };
  return std::min_element(known.begin(), known.end(),
                          [&](const auto& a, const auto& b) { return distance(a) < distance(b); })
      ->second;
}

}  // namespace

GraphSink::GraphSink(const Program& program, const Cluster& cluster, const LowerOptions& options)
    : beside_(cluster.gpu.beside), waiting_(builder_.add_class()) {
  notes.steps = options.steps;
  marks_calls_ = options.mark_calls;
  calls_.resize(program.ranks.size());
  // Merged, a step makes about a task; what is not used is not touched either.
  std::size_t steps = 0;
  for (const RankProgram& r : program.ranks) steps += r.steps.size();
  steps *= static_cast<std::size_t>(options.steps);
  builder_.reserve(steps, 2 * steps);
  reserve_large(notes.tasks, steps);
  names_.emplace("", 0);
  for (const std::string& n : program.names) names_of_program_.push_back(intern(n));
  for (const RankProgram& r : program.ranks) {
    const Machine& m = program.machines[r.machine];
    const Seconds gap = cluster.gpu_of_type(m.gpu_type).kernel_gap / m.speed;
    notes.devices.push_back({r.rank, r.pipeline_rank, r.represents, r.busy,
                             gap.value > 0 ? to_sim_time(gap) : SimTime(0)});
  }
  if (!options.merge) notes.memory.resize(program.ranks.size());
  // Kernels on streams of their own, copies, have the class of their stream.
  builder_.set_interference(1 / beside_.memory_slowdown,
                            1 / beside_.communication_slowdown_by_memory);
}

TaskClass GraphSink::kernels_slowed(const Slowdowns& slowdowns) {
  for (const auto& [known, cls] : kernels_)
    if (known == slowdowns) return cls;
  if (kernels_.size() + 4 > kMaxTaskClasses) return nearest(kernels_, slowdowns);
  const TaskClass cls = builder_.add_class();
  builder_.set_rate(cls, kBackgroundTasks, 1 / slowdowns.kernel);
  builder_.set_rate(kBackgroundTasks, cls, 1 / slowdowns.collective);
  builder_.set_rate(cls, waiting_, 1 / slowdowns.waiting);
  builder_.set_rate(cls, kForegroundTasks, 1 / beside_.kernel_slowdown);
  builder_.set_rate(kForegroundTasks, cls, 1 / beside_.kernel_slowdown);
  kernels_.emplace_back(slowdowns, cls);
  return cls;
}

StreamId GraphSink::add_stream(std::uint32_t device, StreamClass cls, const char* name) {
  notes.streams.push_back({device, name});
  return builder_.add_stream(device, cls);
}

std::uint32_t GraphSink::intern(const std::string& name) {
  const auto [it, added] = names_.try_emplace(name, static_cast<std::uint32_t>(notes.names.size()));
  if (added) notes.names.push_back(name);
  return it->second;
}

std::int32_t GraphSink::share_of(std::size_t machine, const std::vector<RunPart>& run,
                                 const Prices& prices, const Program& program) {
  const auto [it, added] =
      shares_.try_emplace({machine, run}, static_cast<std::int32_t>(notes.shares.size()));
  if (!added) return it->second;
  std::map<Activity, std::int64_t> parts;
  std::map<std::int32_t, SegmentShare::CollectiveUse> uses;
  for (const RunPart& part : run) {
    const PricedSegment& priced = prices.segment(machine, part.segment);
    if (part.end - part.begin < priced.instrs.size()) {  // kernels alone
      for (std::uint32_t i = part.begin; i < part.end; ++i)
        parts[program.segments[part.segment].instrs[priced.instrs[i].instr].activity] +=
            priced.instrs[i].duration;
      continue;
    }
    const SegmentShare& s = priced.share;
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

Lowered GraphSink::finish(const Prices& prices) && {
  notes.collectives = prices.collectives();
  return {std::move(builder_).freeze(), std::move(notes), std::move(calls_)};
}

ClockSink::ClockSink(const Program& program, const Cluster& cluster, const LowerOptions& options)
    : program_(program) {
  if (cluster.gpu.beside.interferes())
    throw std::logic_error("a clock alone cannot tell how tasks slow each other");
  ends_.assign(static_cast<std::size_t>(options.steps),
               std::vector<std::int64_t>(program.ranks.size(), 0));
}

StepTimes slowest_step(const Program& program, const std::vector<std::int64_t>& ends,
                       const std::vector<std::int64_t>& before) {
  std::size_t slowest = 0;
  for (std::size_t d = 1; d < ends.size(); ++d) {
    const bool lower_rank = program.ranks[d].rank < program.ranks[slowest].rank;
    if (ends[d] > ends[slowest] || (ends[d] == ends[slowest] && lower_rank)) slowest = d;
  }
  StepTimes out;
  out.device = static_cast<std::uint32_t>(slowest);
  out.end = SimTime(ends[slowest]);
  if (!before.empty()) out.begin = SimTime(std::min(before[slowest], ends[slowest]));
  return out;
}

StepTimes ClockSink::finish() {
  StepTimes out =
      slowest_step(program_, ends_.back(),
                   ends_.size() > 1 ? ends_[ends_.size() - 2] : std::vector<std::int64_t>{});
  out.tasks = tasks_;
  out.transfers_meet = links_.overfull();
  return out;
}

}  // namespace rehearse
