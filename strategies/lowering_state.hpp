#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "strategies/lowering_sinks.hpp"
#include "strategies/pass_digest.hpp"
#include "strategies/transfers.hpp"
#include "strategies/variation.hpp"

namespace rehearse {

// What the ranks of one walk share: the sink, the prices, and where they meet.
template <class Sink>
class LoweringState {
 public:
  using Task = typename Sink::Task;
  using Ready = typename Sink::Ready;

  LoweringState(const Program& p, const Cluster& c, const LowerOptions& o, Prices& pr);

  const Program& program;
  const Cluster& cluster;
  const LowerOptions& options;
  Prices& prices;
  Transfers transfers;
  PassDigests digests;
  Sink sink;

  // See Transfers.
  TransferId transfer(std::uint32_t rank, std::int32_t collective) {
    return known(transfers.collective(rank, collective));
  }
  TransferId transfer(std::uint32_t from, std::uint32_t to, Bytes bytes, std::int64_t occupied) {
    return known(transfers.message(from, to, bytes, occupied));
  }

  // A collective of a group whose ranks are apart: all arrive before any goes on, so two of a group
  // are open at most, one that some have still to leave and the next.
  struct Meeting {
    std::uint32_t number = 0;  // of the group's meetings; from 1
    std::size_t arrived = 0;
    Ready arrivals{};
    Task done = Sink::kNone;
  };
  Meeting& meeting(std::size_t kind, std::int32_t first_member, std::uint32_t number);

  // Messages under way to each rank.
  struct Message {
    std::int32_t from = 0;
    std::uint32_t tag = 0;
    int step = 0;
    std::uint32_t flow = 0;
    Task transfer = Sink::kNone;
  };
  std::vector<std::vector<Message>> messages;
  std::uint32_t flows = 0;

  // Exchanges from one rank to another: receives whose kernel is there (with its start), slots that
  // have been sent, and how many had been received after each receive.
  struct Connection {
    std::vector<Message> awaited;
    std::int64_t sent = 0;
    std::vector<std::pair<std::int64_t, Task>> received;
  };
  Connection& connection(std::int32_t from, std::int32_t to) { return connections_[{from, to}]; }

  // Of Annotations::names.
  struct Names {
    std::uint32_t issue = 0, synchronize = 0, send = 0, receive = 0, exchange = 0;
    std::array<std::uint32_t, kCollectiveOps> collective{};
    std::uint32_t to_host = 0, from_host = 0;  // copies
    std::uint32_t of(const CollectiveWork& work) const {
      return work.group == GroupKind::kToHost     ? to_host
             : work.group == GroupKind::kFromHost ? from_host
                                                  : collective[static_cast<std::size_t>(work.op)];
    }
  };
  Names names;
  // By machine and segment; empty where nothing varies.
  std::vector<std::vector<SegmentIntervals>> intervals;

 private:
  // The sink knows those that are new, too.
  TransferId known(TransferId t) {
    for (; told_ < transfers.all().size(); ++told_) sink.add_transfer(transfers.all()[told_]);
    return t;
  }

  std::size_t told_ = 0;
  std::vector<std::array<Meeting, 2>> meetings_;  // by kind and first member
  std::map<std::pair<std::int32_t, std::int32_t>, Connection> connections_;
};

}  // namespace rehearse
