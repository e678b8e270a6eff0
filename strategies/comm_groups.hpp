#pragma once

#include <array>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "hardware/cluster.hpp"
#include "models/model.hpp"
#include "strategies/plan.hpp"
#include "strategies/program.hpp"

namespace rehearse {

// The pipeline ranks of the first and the last stage.
std::pair<int, int> end_ranks(const ResolvedPlan& plan);

// Sizes and placement of a plan's groups on a cluster: of all groups of a kind the one on most
// nodes, for which the others wait in the end. Plans with the same degrees share them. The cluster
// and the model must outlive this.
class CommGroups {
 public:
  using Groups = std::array<CommGroup, kGroupKinds>;
  CommGroups(const Cluster& cluster, const Model& model) : cluster_(cluster), model_(model) {}
  const Groups& of(const ResolvedPlan& plan);

 private:
  // Degrees, the ends of the pipeline, copies of the model, and the order of ranks.
  using Key = std::tuple<std::array<int, 9>, std::vector<std::string>>;
  Groups find(const ResolvedPlan& plan) const;

  const Cluster& cluster_;
  const Model& model_;
  std::map<Key, Groups> known_;
};

}  // namespace rehearse
