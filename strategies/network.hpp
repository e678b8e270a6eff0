#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "hardware/link_capacity.hpp"
#include "sim/engine/task_graph.hpp"
#include "strategies/priced_segment.hpp"
#include "strategies/program.hpp"

namespace rehearse {

// The links that a program's communication runs over, and what each transfer takes of them.
//
// Model. What a collective or a message costs when it is alone is its price. On top of that it
// takes a part of links (LinkTier) at every simulated rank: a collective of the rank's own, both
// ways; a message of the sender's outward and of the receiver's inward. The part is what it moves
// over its own time, so a transfer alone has its price to the picosecond, and only where several
// want more of a link than it has do they share it.
//
// Folding. A link is that of a simulated rank, with all GPUs of its node that share it: each of
// them does what the rank does that it is folded into, so a transfer of that rank is there as often
// as there are such GPUs (`copies`), each at the same rate.
//
// Groups of one kind share NICs, bridges and sockets in their price already (CommGroup); their
// copies together then take no more than the link has.
class Network {
 public:
  Network(const Program& program, const Cluster& cluster);

  // Whether transfers may meet at all, and whether those inside segments may meet others: by the
  // tiers that they use, before anything is walked.
  bool may_meet() const { return may_meet_; }
  bool inside_meets() const { return inside_meets_; }
  std::size_t links() const { return 2 * links_; }

  // A collective of a rank that takes so much of each tier at full speed; both ways.
  Transfer collective(std::size_t rank, const TierRates& rates) const;
  Transfer message(std::size_t from, std::size_t to, const TierRates& rates) const;

 private:
  struct Use {
    std::uint32_t link = 0;
    int copies = 1;
  };
  using Uses = std::vector<Use>;
  enum Direction : std::uint32_t { kOut, kIn };

  void find_links(const Program& program);
  void find_meetings(const Program& program);
  void take(Transfer& out, std::size_t rank, const TierRates& rates, Direction d) const;

  const Program& program_;
  const Cluster& cluster_;
  TierRates capacity_{};                            // 0: not limited
  std::array<std::vector<Uses>, kLinkTiers> uses_;  // by tier and rank
  std::uint32_t links_ = 0;
  bool may_meet_ = false, inside_meets_ = false;
};

}  // namespace rehearse
