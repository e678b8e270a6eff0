#include "tools/cli/report_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "sim/base/dtype.hpp"
#include "sim/report/writers/page.hpp"
#include "strategies/expert/expert_parallel.hpp"
#include "tools/cli/kernel_totals.hpp"

namespace rehearse {
namespace {

constexpr std::size_t kMostKernels = 300;
constexpr int kMostPlaces = 64;

std::vector<PageKernel> kernels_of(const Simulation& s, const RankProgram& rank) {
  std::vector<PageKernel> out;
  for (const KernelTotal& k : kernel_totals(s, rank)) {
    if (out.size() == kMostKernels) break;
    out.push_back({k.label, k.name, k.count, k.time, flops(k.work), bytes(k.work)});
  }
  return out;
}

// What one rank sends in a step: to the members of its groups, and to its pipeline's neighbours.
struct Sent {
  std::map<std::pair<GroupKind, bool>, double> collective;  // true: to every member alike
  std::map<std::int32_t, double> message;                   // by pipeline rank
};

Sent sent_by(const Simulation& s, const RankProgram& rank) {
  Sent out;
  const auto add = [&](const CollectiveWork& w, double count) {
    const CollectivePrice p =
        price_collective(s.cluster, w.op, w.bytes, s.program.groups[static_cast<int>(w.group)]);
    out.collective[{w.group, w.op == CollectiveOp::kAllToAll}] +=
        count * static_cast<double>(p.wire_bytes_per_rank.value);
  };
  std::map<SegmentId, double> calls;
  for (const Step& step : rank.steps) {
    if (const auto* run = std::get_if<RunSegment>(&step.work)) ++calls[run->segment];
    if (const auto* run = std::get_if<RunCollective>(&step.work)) add(run->work, 1);
    if (const auto* send = std::get_if<Send>(&step.work))
      out.message[send->peer] += static_cast<double>(send->bytes.value);
    if (const auto* exchange = std::get_if<Exchange>(&step.work))
      for (const Exchange::Half& h : exchange->halves)
        if (h.sends) out.message[h.peer] += static_cast<double>(h.bytes.value);
  }
  for (const auto& [segment, count] : calls)
    for (const Instr& i : s.program.segments[segment].instrs) {
      if (const auto* work = std::get_if<CollectiveWork>(&i.what)) add(*work, count);
      if (const auto* both = std::get_if<Overlap>(&i.what)) add(both->communication, count);
    }
  return out;
}

// The members of a rank's group, in the order of the ring.
std::vector<int> members(const ResolvedPlan& plan, const RankMap& map, const RankMap::Place& place,
                         GroupKind kind) {
  const auto of_stage = [&](auto members_of) {
    const std::vector<int> ranks = map.stage_ranks(place.pipeline);
    const auto at = std::lower_bound(ranks.begin(), ranks.end(), map.rank_of(place));
    return members_of(plan, ranks, static_cast<std::size_t>(at - ranks.begin()));
  };
  switch (kind) {
    case GroupKind::kTensor:
      return map.group(place, "tp");
    case GroupKind::kContext:
      return map.group(place, "cp");
    case GroupKind::kPipeline:
      return map.group(place, "pp");
    case GroupKind::kData: {
      std::vector<int> all;
      for (const int r : map.group(place, "dp"))
        for (const int q : map.group(map.place_of(r), "cp")) all.push_back(q);
      return all;
    }
    case GroupKind::kEmbedding: {
      const std::vector<int> stages = map.group(place, "pp");
      return {stages.front(), stages.back()};
    }
    case GroupKind::kCopies: {
      const std::vector<int> stages = map.group(place, "pp");
      const auto at = static_cast<std::size_t>(place.pipeline);
      return {stages[at], stages[stages.size() - 1 - at]};
    }
    case GroupKind::kExpert:
      return of_stage(expert_group);
    case GroupKind::kExpertData:
      return of_stage(expert_replicas);
    case GroupKind::kToHost:
    case GroupKind::kFromHost:
      break;  // of a rank and its host
  }
  return {};
}

// Between ranks, or between nodes where there are more ranks than can be drawn. Rings send to the
// next member, exchanges to every other alike.
void fill_matrix(const Simulation& s, PageDetails& details) {
  const int gpus = s.cluster.gpus(), per_place = gpus <= kMostPlaces ? 1 : s.cluster.gpus_per_node;
  if (gpus / per_place > kMostPlaces || gpus < 2) return;
  const auto places = static_cast<std::size_t>(gpus / per_place);
  for (std::size_t i = 0; i < places; ++i)
    details.places.push_back(fmt::format("{} {}", per_place == 1 ? "rank" : "node", i));
  details.sent.assign(places, std::vector<double>(places, 0));
  const RankMap map = rank_map(s.plan);
  std::map<int, Sent> of_stage;
  for (const RankProgram& rank : s.program.ranks)
    of_stage.try_emplace(rank.pipeline_rank, sent_by(s, rank));
  for (int r = 0; r < gpus; ++r) {
    const RankMap::Place place = map.place_of(r);
    const auto add = [&](int to, double bytes) {
      if (to / per_place != r / per_place)
        details.sent[static_cast<std::size_t>(r / per_place)]
                    [static_cast<std::size_t>(to / per_place)] += bytes;
    };
    const Sent& sent = of_stage.at(place.pipeline);
    for (const auto& [to, bytes] : sent.message)
      add(map.group(place, "pp")[static_cast<std::size_t>(to)], bytes);
    for (const auto& [what, bytes] : sent.collective) {
      const std::vector<int> group = members(s.plan, map, place, what.first);
      const auto me = std::find(group.begin(), group.end(), r);
      if (me == group.end() || group.size() < 2) continue;
      if (!what.second) {
        add(me + 1 == group.end() ? group.front() : *(me + 1), bytes);
        continue;
      }
      for (const int to : group)
        if (to != r) add(to, bytes / static_cast<double>(group.size() - 1));
    }
  }
}

}  // namespace

std::string report_page(const Simulation& s) {
  PageDetails details;
  const StepWindow window = step_window(s.lowered.graph, s.timeline, s.lowered.notes);
  const RankProgram& slowest = s.program.ranks[window.device];
  const Gpu& gpu = s.cluster.gpu_of_type(s.program.machines[slowest.machine].gpu_type);
  const DType matmul = s.plan.training.precision.matmul;
  details.kernels = kernels_of(s, slowest);
  details.roof = std::string(to_string(matmul));
  details.peak = gpu.peak_of(matmul);
  details.bandwidth = gpu.memory_bandwidth;
  fill_matrix(s, details);
  return run_page(s.report, s.lowered.graph, s.timeline, s.lowered.notes, details);
}

}  // namespace rehearse
