#include "strategies/fold.hpp"

#include <algorithm>

#include "hardware/link_capacity.hpp"

namespace rehearse {
namespace {

using Place = RankMap::Place;

int& along(Place& p, GroupKind axis) {
  return axis == GroupKind::kTensor ? p.tensor : axis == GroupKind::kContext ? p.context : p.data;
}

// Stages of the GPUs that share a link with a rank: what meets its transfers there.
std::vector<int> stages_on_links(const Cluster& cluster, const RankMap& map, int rank) {
  std::vector<int> out;
  for (std::size_t t = 0; t < kLinkTiers; ++t) {
    const int block = gpus_per_link(cluster, static_cast<LinkTier>(t));
    if (block < 2) continue;
    const int node = rank / cluster.gpus_per_node * cluster.gpus_per_node;
    const int first = node + (rank - node) / block * block;
    const int end = std::min({first + block, node + cluster.gpus_per_node, map.ranks()});
    std::vector<int> stages;
    for (int r = first; r < end; ++r) stages.push_back(map.place_of(r).pipeline);
    std::sort(stages.begin(), stages.end());
    out.push_back(-1);
    out.insert(out.end(), stages.begin(), stages.end());
  }
  return out;
}

// Whether, along an axis, messages to the neighbouring stages leave a node at the same places, and
// links are shared with the same stages; else each rank has times of its own.
bool alike_along(const Cluster& cluster, const RankMap& map, GroupKind axis) {
  const auto leaves_node = [&](Place p, int stage) {
    p.pipeline = stage;
    const int from = map.rank_of(p);
    p.pipeline = (stage + 1) % map.pipeline;
    return from / cluster.gpus_per_node != map.rank_of(p) / cluster.gpus_per_node;
  };
  bool shared = false;
  for (std::size_t t = 0; t < kLinkTiers; ++t)
    shared |= gpus_per_link(cluster, static_cast<LinkTier>(t)) > 1;
  for (int d = 0; d < map.data; ++d)
    for (int c = 0; c < map.context; ++c)
      for (int t = 0; t < map.tensor; ++t)
        for (int stage = 0; stage < map.pipeline; ++stage) {
          const Place p{d, t, c, 0};
          Place first = p;
          along(first, axis) = 0;
          if (leaves_node(p, stage) != leaves_node(first, stage)) return false;
          if (!shared) continue;
          Place here = p, there = first;
          here.pipeline = there.pipeline = stage;
          if (stages_on_links(cluster, map, map.rank_of(here)) !=
              stages_on_links(cluster, map, map.rank_of(there)))
            return false;
        }
  return true;
}

Machine slower_of(Machine a, const Machine& b) {
  a.speed = std::min(a.speed, b.speed);
  for (std::size_t g = 0; g < a.links.size(); ++g) a.links[g] = slower(a.links[g], b.links[g]);
  return a;
}

// Machines of all ranks of a cluster with deviations.
class Machines {
 public:
  Machines(const Cluster& cluster, const RankMap& map) : map_(map) {
    for (int r = 0; r < cluster.gpus(); ++r) states_.push_back(gpu_state(cluster, r));
    for (int p = 0; p < map.pipeline; ++p)
      for (int t = 0; t < map.tensor; ++t) {
        LinkShare links;
        for (int d = 0; d < map.data; ++d)
          for (int c = 0; c < map.context; ++c) links = slower(links, state({d, t, c, p}).links);
        replicas_.push_back(links);
      }
    for (const GpuState& s : states_) ends_ = slower(ends_, s.links);
  }

  Machine of(const Place& p) const {
    Machine m;
    m.gpu_type = state(p).gpu_type;
    m.speed = state(p).speed;
    m.at(GroupKind::kTensor) = slowest(p, "tp");
    m.at(GroupKind::kContext) = slowest(p, "cp");
    const int gradients = p.pipeline * map_.tensor + p.tensor;
    m.at(GroupKind::kData) = replicas_[static_cast<std::size_t>(gradients)];
    m.at(GroupKind::kPipeline) = state(p).links;
    m.at(GroupKind::kEmbedding) = ends_;
    return m;
  }

 private:
  const GpuState& state(const Place& p) const {
    return states_[static_cast<std::size_t>(map_.rank_of(p))];
  }
  LinkShare slowest(const Place& p, const std::string& axis) const {
    LinkShare links;
    for (const int r : map_.group(p, axis))
      links = slower(links, states_[static_cast<std::size_t>(r)].links);
    return links;
  }

  const RankMap& map_;
  std::vector<GpuState> states_;     // by rank
  std::vector<LinkShare> replicas_;  // of gradient groups, by stage and tensor-parallel rank
  LinkShare ends_;                   // of first and last stages
};

// What is simulated along each axis, before machines are looked at.
struct Extent {
  int data = 1, tensor = 1, context = 1;
};

class Fold {
 public:
  Fold(const ResolvedPlan& plan, const Cluster& cluster, const RankMap& map,
       const FoldOptions& options)
      : plan_(plan) {
    const auto distinct = [&](GroupKind axis, int size) {
      return options.fold && (plan.pipeline == 1 || alike_along(cluster, map, axis)) ? 1 : size;
    };
    extent_.data = options.replicas_differ ? plan.data : distinct(GroupKind::kData, plan.data);
    extent_.tensor = distinct(GroupKind::kTensor, plan.tensor);
    extent_.context = distinct(GroupKind::kContext, plan.context);
    if (!cluster.deviations.empty()) machines_.emplace_back(cluster, map);
  }

  std::vector<SimulatedRank> run() {
    std::vector<SimulatedRank> out;
    const std::vector<std::vector<int>> classes = replica_classes();
    for (int p = 0; p < plan_.pipeline; ++p)
      for (const std::vector<int>& replicas : classes)
        for (int c = 0; c < extent_.context; ++c)
          for (int t = 0; t < extent_.tensor; ++t)
            out.push_back(simulated({replicas.front(), t, c, p}, replicas));
    return out;
  }

 private:
  // The slowest machine of the ranks that are folded into the one at `p`.
  Machine machine(const Place& p) const {
    if (machines_.empty()) return {};
    Machine m = machines_.front().of(p);
    for (int c = p.context; c < plan_.context; c += extent_.context)
      for (int t = p.tensor; t < plan_.tensor; t += extent_.tensor)
        m = slower_of(m, machines_.front().of({p.data, t, c, p.pipeline}));
    return m;
  }

  double busy(const Place& p, double speed) const {
    if (machines_.empty()) return 1;
    double sum = 0;
    int ranks = 0;
    for (int c = p.context; c < plan_.context; c += extent_.context)
      for (int t = p.tensor; t < plan_.tensor; t += extent_.tensor, ++ranks)
        sum += speed / machines_.front().of({p.data, t, c, p.pipeline}).speed;
    return sum / ranks;
  }

  std::vector<Machine> machines_of(int replica) const {
    std::vector<Machine> out;
    for (int p = 0; p < plan_.pipeline; ++p)
      for (int c = 0; c < extent_.context; ++c)
        for (int t = 0; t < extent_.tensor; ++t) out.push_back(machine({replica, t, c, p}));
    return out;
  }

  // Data-parallel ranks that do the same, by their first.
  std::vector<std::vector<int>> replica_classes() const {
    std::vector<std::vector<int>> classes;
    std::vector<std::vector<Machine>> signatures;
    for (int d = 0; d < plan_.data; ++d) {
      std::vector<Machine> own = machines_.empty() ? std::vector<Machine>{} : machines_of(d);
      std::size_t i = extent_.data > 1 ? classes.size() : 0;
      while (i < classes.size() && signatures[i] != own) ++i;
      if (i == classes.size()) {
        classes.emplace_back();
        signatures.push_back(std::move(own));
      }
      classes[i].push_back(d);
    }
    return classes;
  }

  SimulatedRank simulated(const Place& p, const std::vector<int>& replicas) const {
    SimulatedRank s;
    s.place = p;
    s.members = (plan_.context / extent_.context) * (plan_.tensor / extent_.tensor);
    s.represents = static_cast<int>(replicas.size()) * plan_.context / extent_.context *
                   plan_.tensor / extent_.tensor;
    for (const int d : replicas)
      for (int c = p.context; c < plan_.context; c += extent_.context)
        s.replicas.push_back(d * plan_.context + c);
    s.machine = machine(p);
    s.busy = busy(p, s.machine.speed);
    return s;
  }

  const ResolvedPlan& plan_;
  Extent extent_;
  std::vector<Machines> machines_;  // one, where there are deviations
};

}  // namespace

std::vector<SimulatedRank> simulated_ranks(const ResolvedPlan& plan, const Cluster& cluster,
                                           const RankMap& map, const FoldOptions& options) {
  return Fold(plan, cluster, map, options).run();
}

}  // namespace rehearse
