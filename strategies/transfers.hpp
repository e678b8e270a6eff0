#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "strategies/network.hpp"
#include "strategies/priced_segment.hpp"

namespace rehearse {

// Picoseconds of a message between two ranks: its sender's stream is taken for so long, and it
// arrives so much later.
struct MessageTime {
  std::int64_t occupied = 0, latency = 0;
};
MessageTime message_time(const Program& program, const Cluster& cluster, std::size_t from,
                         std::size_t to, Bytes bytes);

// What the communication of a program takes of links, each distinct piece of it once.
class Transfers {
 public:
  Transfers(const Program& program, const Cluster& cluster, const Prices& prices)
      : program_(program), cluster_(cluster), prices_(prices), network_(program, cluster) {}

  const Network& network() const { return network_; }
  // Of a rank; `collective`: of Prices::collectives. kNoTransfer: it meets nothing.
  TransferId collective(std::uint32_t rank, std::int32_t collective);
  // Of a message that occupies its sender for so long.
  TransferId message(std::uint32_t from, std::uint32_t to, Bytes bytes, std::int64_t occupied);
  // The most that any of these takes of each link.
  TransferId any_of(const std::vector<TransferId>& transfers);

  const std::vector<Transfer>& all() const { return all_; }

 private:
  TransferId add(Transfer transfer);

  const Program& program_;
  const Cluster& cluster_;
  const Prices& prices_;
  Network network_;
  std::vector<std::vector<TransferId>> known_;  // by rank and collective
  std::vector<Transfer> all_;
};

}  // namespace rehearse
