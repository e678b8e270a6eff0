#include "strategies/transfers.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include "sim/base/sim_time.hpp"

namespace rehearse {

MessageTime message_time(const Program& program, const Cluster& cluster, std::size_t from,
                         std::size_t to, Bytes bytes) {
  const RankProgram &sender = program.ranks[from], &receiver = program.ranks[to];
  const auto links_of = [&](const RankProgram& rank) {
    return program.machines[rank.machine].at(GroupKind::kPipeline);
  };
  const LinkShare links = slower(links_of(sender), links_of(receiver));
  const Seconds latency = point_to_point_time(cluster, sender.rank, receiver.rank, Bytes(0), links);
  const Seconds whole = point_to_point_time(cluster, sender.rank, receiver.rank, bytes, links);
  return {to_sim_time(max(Seconds(0), whole - latency)).ps, to_sim_time(latency).ps};
}

TransferId Transfers::add(Transfer transfer) {
  if (transfer.crossings.empty()) return kNoTransfer;
  all_.push_back(std::move(transfer));
  return static_cast<TransferId>(all_.size() - 1);
}

TransferId Transfers::collective(std::uint32_t rank, std::int32_t collective) {
  if (!network_.may_meet()) return kNoTransfer;
  constexpr TransferId kUnknown = kNoTransfer - 1;
  known_.resize(program_.ranks.size());
  auto& known = known_[rank];
  const auto at = static_cast<std::size_t>(collective);
  if (at >= known.size()) known.resize(at + 1, kUnknown);
  if (known[at] == kUnknown) known[at] = add(network_.collective(rank, prices_.rates(collective)));
  return known[at];
}

TransferId Transfers::message(std::uint32_t from, std::uint32_t to, Bytes bytes,
                              std::int64_t occupied) {
  if (!network_.may_meet() || occupied <= 0) return kNoTransfer;
  const int ends[] = {program_.ranks[from].rank, program_.ranks[to].rank};
  const CommGroup pair = comm_group(cluster_, ends);
  CollectivePrice price{};
  price.time = SimTime(occupied).seconds();
  const auto moved = static_cast<double>(bytes.value);
  (pair.nodes > 1 ? price.outside_bytes : price.inside_bytes) = moved;
  return add(network_.message(from, to, tier_rates(cluster_, price, pair)));
}

TransferId Transfers::any_of(const std::vector<TransferId>& transfers) {
  std::map<LinkId, double> most;
  for (const TransferId t : transfers)
    if (t != kNoTransfer)
      for (const Crossing& c : all_[t].crossings)
        most[c.link] = std::max(most[c.link], all_[t].demand * c.weight);
  Transfer out{1, {}};
  for (const auto& [link, taken] : most) out.crossings.push_back({link, taken});
  return add(std::move(out));
}

}  // namespace rehearse
