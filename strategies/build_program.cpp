#include "strategies/build_program.hpp"

#include <algorithm>

#include "strategies/context/context_parallel.hpp"
#include "strategies/rank_builder.hpp"
#include "strategies/tensor/shard.hpp"

namespace rehearse {
namespace {

struct SimulatedRank {
  RankMap::Place place;
  int represents = 1;
};

int& along(RankMap::Place& p, GroupKind axis) {
  return axis == GroupKind::kTensor ? p.tensor : axis == GroupKind::kContext ? p.context : p.data;
}

template <class Visit>
void for_each_pipeline(const RankMap& map, const Visit& visit) {
  for (int d = 0; d < map.data; ++d)
    for (int c = 0; c < map.context; ++c)
      for (int t = 0; t < map.tensor; ++t) visit(RankMap::Place{d, t, c, 0});
}

// Ranks along an axis do the same when their messages to the neighbouring stages leave a node at
// the same places; else each has times of its own.
bool alike_along(const Cluster& cluster, const RankMap& map, GroupKind axis) {
  const auto leaves_node = [&](RankMap::Place p, int stage) {
    p.pipeline = stage;
    const int from = map.rank_of(p);
    p.pipeline = (stage + 1) % map.pipeline;
    return from / cluster.gpus_per_node != map.rank_of(p) / cluster.gpus_per_node;
  };
  bool alike = true;
  for_each_pipeline(map, [&](const RankMap::Place& p) {
    RankMap::Place first = p;
    along(first, axis) = 0;
    for (int stage = 0; stage < map.pipeline && alike; ++stage)
      alike = leaves_node(p, stage) == leaves_node(first, stage);
  });
  return alike;
}

std::vector<SimulatedRank> simulated_ranks(const ResolvedPlan& plan, const Cluster& cluster,
                                           const RankMap& map, bool fold) {
  const auto distinct = [&](GroupKind axis, int size) {
    return fold && (plan.pipeline == 1 || alike_along(cluster, map, axis)) ? 1 : size;
  };
  const int data = distinct(GroupKind::kData, plan.data),
            tensor = distinct(GroupKind::kTensor, plan.tensor),
            context = distinct(GroupKind::kContext, plan.context);
  std::vector<SimulatedRank> out;
  for (int p = 0; p < plan.pipeline; ++p)
    for (int d = 0; d < data; ++d)
      for (int c = 0; c < context; ++c)
        for (int t = 0; t < tensor; ++t)
          out.push_back({{d, t, c, p}, plan.ranks() / (plan.pipeline * data * context * tensor)});
  return out;
}

// Of the groups of one kind the one on most nodes: the others wait for it in the end.
void widen(CommGroup& widest, const CommGroup& group) {
  if (group.nodes > widest.nodes || widest.ranks == 1) widest = group;
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

CommGroup ends_of_pipeline(const Cluster& cluster, const RankMap& map, const ResolvedPlan& plan) {
  const auto owner = [&](int stage) {
    return map.rank_of({0, 0, 0, place_of(*plan.schedule, plan.pipeline, plan.chunks, stage).rank});
  };
  const int first = owner(0), last = owner(plan.stages() - 1);
  if (first == last) return {};
  const int ends[] = {std::min(first, last), std::max(first, last)};
  return comm_group(cluster, ends);
}

}  // namespace

GraphOptions graph_options(const ResolvedPlan& plan) {
  const Precision& p = plan.training.precision;
  GraphOptions o;
  o.batch = plan.training.micro_batch_size;
  o.sequence = plan.training.sequence_length / plan.context;
  o.compute = p.compute;
  o.parameters = p.sharded_fp32 ? p.compute : p.parameters;
  o.attention = plan.attention;
  o.dropout = plan.training.dropout;
  o.causal = plan.training.causal;
  o.autocast = p.autocast;
  return o;
}

Program build_program(const ResolvedPlan& plan, const Model& model, const Cluster& cluster,
                      const Runtime& runtime, const BuildOptions& options) {
  Program program;
  const RankMap map = rank_map(plan);
  program.positions = static_cast<int>(model.layers) + 2;
  program.groups[static_cast<int>(GroupKind::kTensor)] = group_of(cluster, map, "tp");
  program.groups[static_cast<int>(GroupKind::kContext)] = group_of(cluster, map, "cp");
  program.groups[static_cast<int>(GroupKind::kData)] = replicas(cluster, map);
  program.groups[static_cast<int>(GroupKind::kPipeline)] = group_of(cluster, map, "pp");
  program.groups[static_cast<int>(GroupKind::kEmbedding)] = ends_of_pipeline(cluster, map, plan);

  const ModelGraphs graphs = context_parallel(
      shard(build_graphs(model, graph_options(plan)),
            {plan.tensor, plan.plan.sequence_parallel, plan.plan.vocabulary_parallel}),
      plan.plan.context_parallel_method, plan.context);
  const SharedSegments shared(program, graphs, plan, runtime);

  const std::vector<SimulatedRank> simulated = simulated_ranks(plan, cluster, map, options.fold);
  const bool data_folded = std::all_of(simulated.begin(), simulated.end(),
                                       [](const SimulatedRank& s) { return s.place.data == 0; });
  for (const SimulatedRank& s : simulated) {
    RankProgram rank;
    rank.rank = map.rank_of(s.place);
    rank.pipeline_rank = s.place.pipeline;
    rank.represents = s.represents;
    rank.groups.resize(kGroupKinds);
    std::vector<int> at_stage(static_cast<std::size_t>(plan.pipeline), -1);
    for (std::size_t i = 0; i < simulated.size(); ++i) {
      const RankMap::Place &a = s.place, &b = simulated[i].place;
      const bool t = a.tensor == b.tensor, c = a.context == b.context, d = a.data == b.data,
                 p = a.pipeline == b.pipeline;
      const auto index = static_cast<std::int32_t>(i);
      if (c && d && p) rank.groups[static_cast<int>(GroupKind::kTensor)].push_back(index);
      if (t && d && p) rank.groups[static_cast<int>(GroupKind::kContext)].push_back(index);
      if (t && p) rank.groups[static_cast<int>(GroupKind::kData)].push_back(index);
      if (t && c && d) {
        rank.groups[static_cast<int>(GroupKind::kPipeline)].push_back(index);
        at_stage[static_cast<std::size_t>(b.pipeline)] = index;
      }
    }
    program.ranks.push_back(std::move(rank));
    build_rank(program, program.ranks.back(), s.place, at_stage, plan, model, runtime, shared,
               data_folded);
  }
  return program;
}

}  // namespace rehearse
