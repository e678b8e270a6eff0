#pragma once

#include <deque>
#include <random>
#include <vector>

#include "strategies/serving/serving.hpp"

namespace rehearse {

// A server at work: what waits, what runs, its paged cache, and one step after another.
class ServerRun {
 public:
  enum class Role : std::uint8_t { kBoth, kPrefill, kDecode };

  ServerRun(const std::vector<Request>& requests, const Server& server, const StepPrices& prices,
            Role role, Served& out);

  // A request; of a server that decodes alone, one whose cache has come.
  void take(std::size_t request);
  bool idle() const { return waiting_.empty() && running_.empty(); }
  std::size_t load() const { return waiting_.size() + running_.size(); }
  // Runs until time has passed. Returns when.
  double step(double now);
  // Requests that are prefilled and go on elsewhere, since the last call.
  std::vector<std::size_t> prefilled();

 private:
  struct Sequence {
    std::size_t request = 0;
    std::int64_t context = 0;     // tokens in the cache
    std::int64_t to_prefill = 0;  // of the prompt, or of what was preempted
    std::int64_t left = 0;        // tokens that are wanted still
    std::int64_t blocks = 0;
    bool ready = false;  // its cache is made elsewhere and need not be computed
  };
  // The pieces of prompts in a step, and the sequences that are decoded beside them.
  struct Mixture {
    std::int64_t tokens = 0;
    double attention = 0;
    double decoding = 0, context = 0;
    std::vector<std::size_t> finished;
  };

  std::int64_t blocks_of(std::int64_t tokens) const;
  bool grow(Sequence& s, std::int64_t tokens);
  void give_back(Sequence& s);
  bool full() const;
  void spend(double time);
  void give_tokens(Sequence& s, std::int64_t tokens);
  void leave();
  void preempt();
  void make_room(std::int64_t tokens);
  std::int64_t emitted();
  double mean_context() const;
  double decode_time(double sequences, double context) const;
  double mixed_time(const Mixture& m) const;
  void one_step();
  bool prefill();
  void decode();
  void static_batch();
  void mixed();
  Mixture mixture();
  void after_mixed(const std::vector<std::size_t>& finished);

  const std::vector<Request>& requests_;
  const Server server_;
  const StepPrices& prices_;
  Role role_;
  Served& out_;
  std::int64_t free_;
  std::mt19937_64 random_;
  std::deque<Sequence> waiting_;
  std::vector<Sequence> running_;
  std::vector<std::size_t> prefilled_;
  double now_ = 0;
};

}  // namespace rehearse
