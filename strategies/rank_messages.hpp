#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "strategies/rank_streams.hpp"

namespace rehearse {

// What one rank says to others of its pipeline: messages on streams of their own, and exchanges,
// kernels that send and receive several.
//
// A message occupies the sender's stream for as long as its bytes take; its latency follows on no
// stream, so messages do not queue for it. Functions that return false wait for another rank.
template <class Sink>
class RankMessages {
 public:
  explicit RankMessages(RankStreams<Sink>& streams) : streams_(streams), state_(streams.state()) {}

  void send(const Send& s);
  bool receive(const Receive& r);
  // One kernel: it starts when it has been issued and its stream is free, and holds the stream
  // until all its messages are done.
  bool exchange(const Exchange& x);

 private:
  using Task = typename Sink::Task;
  using Ready = typename Sink::Ready;
  using Streams = RankStreams<Sink>;
  using Message = typename LoweringState<Sink>::Message;
  static constexpr Task kNone = Sink::kNone;
  struct Route {  // to or from a peer
    std::int32_t peer = 0;
    Bytes bytes{0};
    std::int64_t occupied = 0, latency = 0;
    TransferId transfer = kNoTransfer;
  };

  void arrive(const Exchange& x);
  bool exchange_send(const Exchange::Half& h);
  bool exchange_receive(const Exchange::Half& h);
  // The receive that lets a send start, once it has been walked; kNone: it need not wait.
  std::optional<Task> room_for(const Exchange::Half& h, std::int64_t slots);
  std::int64_t slots_of(Bytes bytes) const;
  TaskInfo message_info(Activity activity, Bytes bytes, std::uint32_t flow);
  // The message that has been sent, if it has, out of the inbox.
  std::optional<Message> take_message(std::int32_t from, std::uint32_t tag);
  const Route& route(std::int32_t peer, Bytes bytes, bool outward);
  std::int32_t peer(std::int32_t pipeline_rank) const {
    return streams_.members(GroupKind::kPipeline)[static_cast<std::size_t>(pipeline_rank)];
  }
  std::uint32_t tag(std::uint32_t of_pass) const {
    return of_pass + static_cast<std::uint32_t>(streams_.micro_batch);
  }
  std::int32_t self() const { return static_cast<std::int32_t>(streams_.index()); }

  Streams& streams_;
  LoweringState<Sink>& state_;
  std::vector<Route> routes_;
  bool arrived_ = false;  // the kernel of the exchange
  Task arrival_ = kNone;  // its start
  std::size_t half_ = 0;  // next of its messages
  Ready received_{};      // by it so far
};

}  // namespace rehearse
