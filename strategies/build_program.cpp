#include "strategies/build_program.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "hardware/link_capacity.hpp"
#include "strategies/context/context_parallel.hpp"
#include "strategies/data/data_parallel.hpp"
#include "strategies/expert/expert_parallel.hpp"
#include "strategies/inference/inference.hpp"
#include "strategies/rank_builder.hpp"
#include "strategies/tensor/shard.hpp"

namespace rehearse {
namespace {

// Simulated ranks that share experts, and those that have the same.
void meet_experts(Program& program, const std::vector<SimulatedRank>& simulated,
                  const ResolvedPlan& plan, const RankMap& map) {
  std::map<std::array<std::size_t, 3>, std::vector<std::int32_t>> members;
  std::vector<std::vector<int>> stages;
  for (int p = 0; p < map.pipeline; ++p) stages.push_back(map.stage_ranks(p));
  const auto key = [&](std::size_t i, GroupKind kind) {
    const auto stage = static_cast<std::size_t>(simulated[i].place.pipeline);
    const auto& ranks = stages[stage];
    const auto at = std::lower_bound(ranks.begin(), ranks.end(), map.rank_of(simulated[i].place));
    const ExpertPlace place = expert_place(plan, static_cast<std::size_t>(at - ranks.begin()));
    return std::array{static_cast<std::size_t>(kind), stage,
                      kind == GroupKind::kExpert ? place.group : place.replicas};
  };
  constexpr GroupKind kKinds[] = {GroupKind::kExpert, GroupKind::kExpertData};
  for (std::size_t i = 0; i < simulated.size(); ++i)
    for (const GroupKind kind : kKinds)
      members[key(i, kind)].push_back(static_cast<std::int32_t>(i));
  for (std::size_t i = 0; i < simulated.size(); ++i)
    for (const GroupKind kind : kKinds)
      program.ranks[i].groups[static_cast<std::size_t>(kind)] = members[key(i, kind)];
}

// Fills in which simulated ranks each meets.
void meet(Program& program, const std::vector<SimulatedRank>& simulated, const ResolvedPlan& plan) {
  std::map<std::array<int, 5>, std::vector<std::int32_t>> members;  // by kind and the other axes
  const auto key = [](GroupKind kind, const RankMap::Place& p) {
    const auto other = [kind](GroupKind axis, int at) {
      const bool along = axis == kind || (kind == GroupKind::kData && axis == GroupKind::kContext);
      return along ? -1 : at;
    };
    const int data = kind == GroupKind::kData ? -1 : p.data;
    const int stage = kind == GroupKind::kPipeline ? -1 : p.pipeline;
    return std::array<int, 5>{static_cast<int>(kind), stage, data,
                              other(GroupKind::kTensor, p.tensor),
                              other(GroupKind::kContext, p.context)};
  };
  constexpr GroupKind kKinds[] = {GroupKind::kTensor, GroupKind::kContext, GroupKind::kData,
                                  GroupKind::kPipeline};
  for (std::size_t i = 0; i < simulated.size(); ++i)
    for (const GroupKind kind : kKinds)
      members[key(kind, simulated[i].place)].push_back(static_cast<std::int32_t>(i));
  const auto [first, last] = end_ranks(plan);
  for (std::size_t i = 0; i < simulated.size(); ++i) {
    auto& groups = program.ranks[i].groups;
    groups.resize(kGroupKinds);
    for (const GroupKind kind : kKinds)
      groups[static_cast<std::size_t>(kind)] = members[key(kind, simulated[i].place)];
    const auto& pipeline = groups[static_cast<std::size_t>(GroupKind::kPipeline)];
    if (plan.schedule->copies() > 1) {
      const auto self = static_cast<std::size_t>(simulated[i].place.pipeline);
      const std::size_t other = pipeline.size() - 1 - self;
      groups[static_cast<std::size_t>(GroupKind::kCopies)] = {pipeline[std::min(self, other)],
                                                              pipeline[std::max(self, other)]};
    }
    if (first != last)
      groups[static_cast<std::size_t>(GroupKind::kEmbedding)] = {
          pipeline[static_cast<std::size_t>(first)], pipeline[static_cast<std::size_t>(last)]};
  }
}

// Whether GPUs of a node share a link of any tier.
bool share_links(const Cluster& cluster) {
  for (std::size_t t = 0; t < kLinkTiers; ++t)
    if (gpus_per_link(cluster, static_cast<LinkTier>(t)) > 1) return true;
  return false;
}

// Fills in which simulated ranks the GPUs of each one's node are folded into.
void place_in_nodes(Program& program, const std::vector<SimulatedRank>& simulated,
                    const Cluster& cluster, const RankMap& map) {
  int tensor = 1, context = 1;  // that are simulated
  for (const SimulatedRank& s : simulated) {
    tensor = std::max(tensor, s.place.tensor + 1);
    context = std::max(context, s.place.context + 1);
  }
  // By stage, tensor-parallel rank and replica.
  const auto at = [&](int stage, int t, int replica) {
    const int place = (stage * tensor + t) * map.data * map.context + replica;
    return static_cast<std::size_t>(place);
  };
  std::vector<std::int32_t> folded_into(at(map.pipeline, 0, 0));
  for (std::size_t i = 0; i < simulated.size(); ++i)
    for (const int replica : simulated[i].replicas)
      folded_into[at(simulated[i].place.pipeline, simulated[i].place.tensor, replica)] =
          static_cast<std::int32_t>(i);
  for (RankProgram& rank : program.ranks) {
    const int first = rank.rank / cluster.gpus_per_node * cluster.gpus_per_node;
    for (int r = first; r < std::min(first + cluster.gpus_per_node, map.ranks()); ++r) {
      const RankMap::Place p = map.place_of(r);
      rank.node_ranks.push_back(
          folded_into[at(p.pipeline, p.tensor % tensor, p.data * map.context + p.context)]);
    }
  }
}

std::size_t index_of(std::vector<Machine>& machines, const Machine& machine) {
  const auto found = std::find(machines.begin(), machines.end(), machine);
  const auto index = static_cast<std::size_t>(found - machines.begin());
  if (found == machines.end()) machines.push_back(machine);
  return index;
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
  o.reorders_attention = plan.reorders_attention;
  o.dropout = plan.training.dropout;
  o.causal = plan.training.causal;
  o.autocast = p.autocast;
  if (plan.task != Task::kTraining)
    o.latent = plan.absorbs_latents() ? LatentForm::kAbsorbed : LatentForm::kExpanded;
  o.fine_tuning = plan.training.fine_tuning;
  return o;
}

namespace {

Model padded(Model model, const ResolvedPlan& plan, const Runtime& runtime) {
  const std::int64_t multiple = runtime.vocabulary_multiple;
  if (multiple == 1) return model;
  const std::int64_t to = multiple * plan.tensor;
  model.vocabulary = (model.vocabulary + to - 1) / to * to;
  return model;
}

// A plan without what segments do not depend on: of a pipeline and of data parallelism they know no
// more than whether there is one.
ResolvedPlan for_segments(ResolvedPlan p) {
  p.pipeline = p.plan.pipeline_parallel = p.pipeline > 1 ? 2 : 1;
  p.data = p.plan.data_parallel = p.data > 1 ? 2 : 1;
  p.chunks = p.plan.virtual_stages = p.stages() > 1 ? 2 : 1;
  p.micro_batches = 1;
  p.training.global_batch_size = 0;
  p.schedule = nullptr;
  p.plan.schedule.clear();
  p.stage_layers.clear();
  p.plan.stage_layers.clear();
  return p;
}

}  // namespace

ProgramWriter::ProgramWriter(Program& program, const ResolvedPlan& plan, const Model& model,
                             const Cluster& cluster, const Runtime& runtime, CommGroups& groups)
    : program_(program),
      model_(model),
      cluster_(cluster),
      runtime_(runtime),
      groups_(groups),
      plan_(plan),
      key_(for_segments(plan)) {
  program_.positions = static_cast<int>(model.layers) + 2;
  GraphOptions graph = graph_options(plan);
  graph.experts = expert_layout(plan, model, runtime);
  const ModelGraphs whole = build_graphs(padded(model, plan, runtime), graph);
  const ModelGraphs graphs = context_parallel(
      shard(plan.task == Task::kTraining ? whole : inference_graphs(whole, plan),
            {plan.tensor, plan.plan.sequence_parallel, plan.plan.vocabulary_parallel}),
      plan.plan.context_parallel_method, plan.context);
  shared_ = std::make_unique<SharedSegments>(
      program_, graphs, plan_, runtime,
      Multiprocessors{cluster.gpu.sm_count, cluster.gpu.threads_per_sm});
}

bool ProgramWriter::writes(const ResolvedPlan& plan) const { return for_segments(plan) == key_; }

std::size_t ProgramWriter::hash(const ResolvedPlan& plan) {
  const Training& t = plan.training;
  std::size_t out = 0;
  for (const std::int64_t n :
       {std::int64_t{plan.tensor}, std::int64_t{plan.context}, std::int64_t{plan.expert},
        std::int64_t{plan.pipeline > 1}, std::int64_t{plan.data > 1},
        std::int64_t{plan.stages() > 1}, std::int64_t{plan.plan.zero_stage},
        std::int64_t{plan.plan.sequence_parallel}, static_cast<std::int64_t>(t.recompute),
        t.micro_batch_size, t.sequence_length})
    out = (out ^ static_cast<std::size_t>(n)) * 0x100000001b3U;
  return out;
}

void ProgramWriter::write_groups(const ResolvedPlan& plan) {
  const CommGroups::Groups& groups = groups_.of(plan);
  std::copy(groups.begin(), groups.end(), std::begin(program_.groups));
  for (std::size_t g = 0; g < kGroupKinds; ++g) {
    const CommGroup& group = program_.groups[g];
    program_.check_waits[g] = runtime_.check_wait(group.ranks, group.ranks - group.ranks_per_node,
                                                  cluster_.host.round_trip);
  }
}

void ProgramWriter::write(const ResolvedPlan& plan, const FoldOptions& options) {
  const RankMap map = rank_map(plan);
  Program& program = program_;
  program.ranks.clear();
  write_groups(plan);
  const auto pipeline =
      pipeline_steps(*plan.schedule, {plan.pipeline, 0, plan.micro_batches, plan.chunks},
                     runtime_.orders_messages);
  program.message_slots = runtime_.message_slots;
  program.message_slot = runtime_.message_slot;
  const std::vector<SimulatedRank> simulated = simulated_ranks(plan, cluster_, map, options);
  // Ranks of one stage do the same, but for those that own parameters of different sizes.
  const bool alike = !shares_whole_parameters(plan, runtime_);
  std::map<std::pair<int, std::vector<int>>, std::size_t> written;  // by stage and replicas
  program.ranks.reserve(simulated.size());
  for (const SimulatedRank& s : simulated) {
    const auto [same, first] = written.try_emplace(
        {s.place.pipeline, alike ? std::vector<int>{} : s.replicas}, program.ranks.size());
    RankProgram rank;
    if (first && plan.task != Task::kTraining)
      build_inference_rank(program, rank, s, plan, model_, runtime_, *shared_);
    else if (first)
      build_rank(program, rank, s, pipeline[static_cast<std::size_t>(s.place.pipeline)], plan,
                 model_, runtime_, *shared_);
    else
      rank = program.ranks[same->second];
    rank.rank = map.rank_of(s.place);
    rank.pipeline_rank = s.place.pipeline;
    rank.represents = s.represents;
    rank.members = s.members;
    rank.busy = s.busy;
    rank.machine = index_of(program.machines, s.machine);
    program.ranks.push_back(std::move(rank));
  }
  meet(program, simulated, plan);
  if (share_links(cluster_)) place_in_nodes(program, simulated, cluster_, map);
  if (model_.experts.count > 0) meet_experts(program, simulated, plan, map);
}

Program build_program(const ResolvedPlan& plan, const Model& model, const Cluster& cluster,
                      const Runtime& runtime, const FoldOptions& options) {
  Program program;
  CommGroups groups(cluster, model);
  ProgramWriter(program, plan, model, cluster, runtime, groups).write(plan, options);
  return program;
}

}  // namespace rehearse
