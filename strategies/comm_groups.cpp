#include "strategies/comm_groups.hpp"

#include <algorithm>
#include <utility>

#include "strategies/expert/expert_parallel.hpp"
#include "strategies/schedules/schedule.hpp"

namespace rehearse {

std::pair<int, int> end_ranks(const ResolvedPlan& plan) {
  const auto owner = [&](int stage) {
    return place_of(*plan.schedule, plan.pipeline, plan.chunks, stage).rank;
  };
  return {owner(0), owner(plan.stages() - 1)};
}

namespace {

template <class Visit>
void for_each_pipeline(const RankMap& map, const Visit& visit) {
  for (int d = 0; d < map.data; ++d)
    for (int c = 0; c < map.context; ++c)
      for (int t = 0; t < map.tensor; ++t) visit(RankMap::Place{d, t, c, 0});
}

// Of the groups of one kind the one on most nodes, with the least between its members: the others
// wait for it in the end.
void widen(CommGroup& widest, const CommGroup& group) {
  const bool narrower = group.nodes == widest.nodes && group.inside < widest.inside;
  if (group.nodes > widest.nodes || narrower || widest.ranks == 1) widest = group;
}

CommGroup group_of(const Cluster& cluster, const RankMap& map, const char* axis) {
  CommGroup out;
  const std::string name = axis;
  for_each_pipeline(map, [&](RankMap::Place p) {
    if ((name == "tp" && p.tensor > 0) || (name == "cp" && p.context > 0)) return;
    for (p.pipeline = 0; p.pipeline < (name == "pp" ? 1 : map.pipeline); ++p.pipeline)
      widen(out, comm_group(cluster, map.group(p, axis)));
  });
  return out;
}

// Ranks that hold the same parameters: along data and context parallelism.
CommGroup replicas(const Cluster& cluster, const RankMap& map) {
  CommGroup out;
  for (int p = 0; p < map.pipeline; ++p)
    for (int t = 0; t < map.tensor; ++t) {
      std::vector<int> ranks;
      for (int d = 0; d < map.data; ++d)
        for (int c = 0; c < map.context; ++c) ranks.push_back(map.rank_of({d, t, c, p}));
      std::sort(ranks.begin(), ranks.end());
      widen(out, comm_group(cluster, ranks));
    }
  return out;
}

// Of all groups of a kind of expert parallelism the one on most nodes.
template <class Members>
CommGroup expert_groups(const Cluster& cluster, const RankMap& map, const Members& members) {
  CommGroup out;
  for (int p = 0; p < map.pipeline; ++p) {
    const std::vector<int> ranks = map.stage_ranks(p);
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      const std::vector<int> group = members(ranks, i);
      if (group.front() == ranks[i]) widen(out, comm_group(cluster, group));
    }
  }
  return out;
}

CommGroup ends_of_pipeline(const Cluster& cluster, const RankMap& map, const ResolvedPlan& plan) {
  const auto [a, b] = end_ranks(plan);
  const int first = map.rank_of({0, 0, 0, a}), last = map.rank_of({0, 0, 0, b});
  if (first == last) return {};
  const int ends[] = {std::min(first, last), std::max(first, last)};
  return comm_group(cluster, ends);
}

// Of the pairs of pipeline ranks with the same stages the one that is widest.
CommGroup copies(const Cluster& cluster, const RankMap& map) {
  CommGroup out;
  for (int p = 0; 2 * p < map.pipeline; ++p) {
    const int pair[] = {map.rank_of({0, 0, 0, p}), map.rank_of({0, 0, 0, map.pipeline - 1 - p})};
    widen(out, comm_group(cluster, pair));
  }
  return out;
}

}  // namespace

CommGroups::Groups CommGroups::find(const ResolvedPlan& plan) const {
  const RankMap map = rank_map(plan);
  Groups out;
  const auto set = [&](GroupKind kind, const CommGroup& group) {
    out[static_cast<std::size_t>(kind)] = group;
  };
  set(GroupKind::kTensor, group_of(cluster_, map, "tp"));
  set(GroupKind::kContext, group_of(cluster_, map, "cp"));
  set(GroupKind::kData, replicas(cluster_, map));
  set(GroupKind::kPipeline, group_of(cluster_, map, "pp"));
  set(GroupKind::kEmbedding, ends_of_pipeline(cluster_, map, plan));
  if (plan.schedule->copies() > 1) set(GroupKind::kCopies, copies(cluster_, map));
  if (model_.experts.count == 0) return out;
  set(GroupKind::kExpert,
      expert_groups(cluster_, map, [&](const std::vector<int>& ranks, std::size_t i) {
        return expert_group(plan, ranks, i);
      }));
  set(GroupKind::kExpertData,
      expert_groups(cluster_, map, [&](const std::vector<int>& ranks, std::size_t i) {
        return expert_replicas(plan, ranks, i);
      }));
  return out;
}

const CommGroups::Groups& CommGroups::of(const ResolvedPlan& plan) {
  const auto [first, last] = end_ranks(plan);
  const auto [known, added] =
      known_.try_emplace({{plan.data, plan.tensor, plan.context, plan.expert, plan.expert_tensor,
                           plan.pipeline, first, last, plan.schedule->copies()},
                          plan.plan.rank_order});
  if (added) known->second = find(plan);
  return known->second;
}

}  // namespace rehearse
