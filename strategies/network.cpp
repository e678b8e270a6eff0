#include "strategies/network.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

namespace rehearse {
namespace {

constexpr std::array kTiers{LinkTier::kPort, LinkTier::kBridge, LinkTier::kSocket, LinkTier::kNic,
                            LinkTier::kFabric};

bool inside_node(LinkTier t) {
  return t == LinkTier::kPort || t == LinkTier::kBridge || t == LinkTier::kSocket;
}

// Whether members of a group may send over links of a tier.
bool uses(const CommGroup& group, LinkTier tier, bool pcie) {
  if (group.ranks < 2) return false;
  switch (tier) {
    case LinkTier::kPort:
      return group.ranks_per_node > 1 || pcie;
    case LinkTier::kBridge:
      return group.below_switch > 0;
    case LinkTier::kSocket:
      return group.below_socket > 0;
    case LinkTier::kNic:
      return group.nodes > 1;
    case LinkTier::kFabric:
      return group.nodes > 1 && !group.below_one_leaf;
  }
  return false;
}

}  // namespace

Network::Network(const Program& program, const Cluster& cluster)
    : program_(program), cluster_(cluster) {
  find_meetings(program);
  if (may_meet_) find_links(program);
}

// Collectives inside segments are one after the other; those of data parallelism beside them, and
// messages in both directions beside everything.
void Network::find_meetings(const Program& program) {
  const auto group = [&](GroupKind g) { return program.groups[static_cast<std::size_t>(g)]; };
  const bool pcie = cluster_.intra_node.type == "pcie";
  for (const LinkTier tier : kTiers) {
    const auto any = [&](std::initializer_list<GroupKind> kinds) {
      return std::any_of(kinds.begin(), kinds.end(),
                         [&](GroupKind g) { return uses(group(g), tier, pcie); });
    };
    const bool inside = any({GroupKind::kTensor, GroupKind::kContext, GroupKind::kExpert});
    const bool beside =
        any({GroupKind::kData, GroupKind::kExpertData, GroupKind::kEmbedding, GroupKind::kCopies});
    const bool messages = any({GroupKind::kPipeline});
    inside_meets_ |= inside && (beside || messages);
    may_meet_ |= (inside && beside) || messages;
  }
}

void Network::find_links(const Program& program) {
  for (const LinkTier tier : kTiers) {
    const auto t = static_cast<std::size_t>(tier);
    const int block = gpus_per_link(cluster_, tier);
    const double capacity = block > 0 ? link_capacity(cluster_, tier).value : 0;
    if (!(capacity > 0) || std::isinf(capacity)) continue;
    capacity_[t] = capacity;
    uses_[t].resize(program.ranks.size());
    std::map<std::pair<int, int>, std::uint32_t> known;  // by node and place in it
    for (std::size_t r = 0; r < program.ranks.size(); ++r) {
      const RankProgram& rank = program.ranks[r];
      const int node = rank.rank / cluster_.gpus_per_node;
      const int first = rank.rank % cluster_.gpus_per_node / block * block;
      if (block == 1 || rank.node_ranks.empty()) {
        uses_[t][r].push_back({links_++, 1});
        continue;
      }
      const auto [at, added] = known.try_emplace({node, first}, links_);
      if (!added) continue;
      ++links_;
      for (int g = first; g < std::min(first + block, cluster_.gpus_per_node); ++g) {
        Uses& of = uses_[t][static_cast<std::size_t>(rank.node_ranks[static_cast<std::size_t>(g)])];
        if (of.empty() || of.back().link != at->second) of.push_back({at->second, 0});
        ++of.back().copies;
      }
    }
  }
}

void Network::take(Transfer& out, std::size_t rank, const TierRates& rates, Direction d) const {
  const Machine& machine = program_.machines[program_.ranks[rank].machine];
  const LinkShare& left = machine.at(GroupKind::kPipeline);  // of the rank's own links
  for (const LinkTier tier : kTiers) {
    const auto t = static_cast<std::size_t>(tier);
    if (!(rates[t] > 0) || uses_[t].empty()) continue;
    const double capacity = capacity_[t] * (inside_node(tier) ? left.intra_node : left.inter_node);
    const double taken = std::min(1.0, rates[t] / capacity);
    out.demand = std::max(out.demand, taken);
    for (const Use& u : uses_[t][rank])
      out.crossings.push_back({2 * u.link + d, taken * static_cast<double>(u.copies)});
  }
}

namespace {

// What was taken at full speed, over the demand, is the weight.
Transfer weighed(Transfer t) {
  for (Crossing& c : t.crossings) c.weight /= t.demand;
  return t;
}

}  // namespace

Transfer Network::collective(std::size_t rank, const TierRates& rates) const {
  Transfer out{0, {}};
  take(out, rank, rates, kOut);
  take(out, rank, rates, kIn);
  return weighed(std::move(out));
}

Transfer Network::message(std::size_t from, std::size_t to, const TierRates& rates) const {
  Transfer out{0, {}};
  take(out, from, rates, kOut);
  take(out, to, rates, kIn);
  return weighed(std::move(out));
}

}  // namespace rehearse
