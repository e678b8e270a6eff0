#include <algorithm>
#include <deque>
#include <limits>
#include <random>

#include "strategies/serving/serving.hpp"

namespace rehearse {
namespace {

class ServerRun {
 public:
  ServerRun(const std::vector<Request>& requests, const Server& server, const StepPrices& prices,
            bool prefilled)
      : requests_(requests),
        server_(server),
        prices_(prices),
        prefilled_(prefilled),
        free_(server.blocks),
        random_(server.seed) {
    out_.first_token.assign(requests.size(), -1);
    out_.done.assign(requests.size(), -1);
  }

  Served run() {
    while (true) {
      arrive();
      if (waiting_.empty() && running_.empty()) {
        if (next_ == requests_.size()) break;
        now_ = requests_[next_].arrival;
        continue;
      }
      step();
    }
    out_.end = now_;
    return std::move(out_);
  }

 private:
  struct Sequence {
    std::size_t request = 0;
    std::int64_t context = 0;     // tokens in the cache
    std::int64_t to_prefill = 0;  // of the prompt, or of what was preempted
    std::int64_t left = 0;        // tokens that are wanted still
    std::int64_t blocks = 0;
    bool ready = false;  // its cache is made elsewhere and need not be computed
  };

  void arrive() {
    for (; next_ < requests_.size() && requests_[next_].arrival <= now_; ++next_)
      waiting_.push_back(
          {next_, 0, requests_[next_].prompt, requests_[next_].output, 0, prefilled_});
  }

  std::int64_t blocks_of(std::int64_t tokens) const {
    return (tokens + server_.block_tokens - 1) / server_.block_tokens;
  }
  // Room for `tokens` in all; false when there is none.
  bool grow(Sequence& s, std::int64_t tokens) {
    const std::int64_t more = blocks_of(tokens) - s.blocks;
    if (more <= 0) return true;
    if (more > free_) return false;
    free_ -= more;
    s.blocks += more;
    out_.peak_blocks = std::max(out_.peak_blocks, server_.blocks - free_);
    return true;
  }
  void give_back(Sequence& s) {
    free_ += s.blocks;
    s.blocks = 0;
  }

  void step() {
    switch (server_.batching) {
      case Batching::kStatic:
        return static_batch();
      case Batching::kContinuous:
        if (!prefill()) decode();
        return;
      case Batching::kChunkedPrefill:
        return mixed();
    }
  }

  bool full() const { return static_cast<std::int64_t>(running_.size()) >= server_.max_batch_size; }

  // Prompts that find room, prefilled together.
  bool prefill() {
    std::int64_t tokens = 0;
    const std::size_t first = running_.size();
    while (!waiting_.empty() && !full()) {
      Sequence s = waiting_.front();
      if (tokens > 0 && tokens + s.to_prefill > server_.max_batch_tokens) break;
      if (!grow(s, s.to_prefill + 1)) break;
      waiting_.pop_front();
      tokens += s.ready ? 0 : s.to_prefill;
      s.context = s.to_prefill;
      s.to_prefill = 0;
      running_.push_back(s);
    }
    if (tokens == 0) return false;  // nothing new, or its cache came from elsewhere
    spend(prices_.prefill(tokens));
    for (std::size_t i = first; i < running_.size(); ++i)
      if (!running_[i].ready) give_tokens(running_[i], 1);
    leave();
    return true;
  }

  void spend(double time) {
    now_ += time;
    ++out_.steps;
  }

  void give_tokens(Sequence& s, std::int64_t tokens) {
    tokens = std::min(tokens, s.left);
    s.left -= tokens;
    out_.tokens += tokens;
    const double since = now_ - requests_[s.request].arrival;
    if (out_.first_token[s.request] < 0) out_.first_token[s.request] = since;
    if (s.left == 0) out_.done[s.request] = since;
  }

  void leave() {
    for (Sequence& s : running_)
      if (s.left == 0) give_back(s);
    std::erase_if(running_, [](const Sequence& s) { return s.left == 0; });
  }

  // The last that came gives its blocks back and begins again, with what it had.
  void preempt() {
    Sequence s = running_.back();
    running_.pop_back();
    give_back(s);
    s.to_prefill += s.context;
    s.context = 0;
    s.ready = false;
    waiting_.push_front(s);
    ++out_.preemptions;
  }

  // Room for the tokens of the next step, of all that are left.
  void make_room(std::int64_t tokens) {
    for (std::size_t i = 0; i < running_.size(); ++i)
      while (i < running_.size() && !grow(running_[i], running_[i].context + tokens)) preempt();
  }

  std::int64_t emitted() {
    std::int64_t n = 1;
    for (int i = 0; i < server_.draft_tokens; ++i, ++n) {
      const double u = (static_cast<double>(random_() >> 11U) + 0.5) * 0x1p-53;
      if (u >= server_.acceptance) break;
    }
    return n;
  }

  double mean_context() const {
    double sum = 0;
    for (const Sequence& s : running_) sum += static_cast<double>(s.context);
    return running_.empty() ? 1 : std::max(1.0, sum / static_cast<double>(running_.size()));
  }

  double decode_time(double sequences, double context) const {
    if (server_.draft_tokens == 0) return prices_.decode(sequences, context);
    const double g = server_.draft_tokens;
    return g * prices_.draft(sequences, context) + prices_.verify((g + 1) * sequences, context);
  }

  void decode() {
    make_room(1 + server_.draft_tokens);
    if (running_.empty()) return;
    const auto n = static_cast<double>(running_.size());
    out_.occupied += n;
    out_.slots += n;
    ++out_.decoding_steps;
    spend(decode_time(n, mean_context()));
    decoded();
  }

  void decoded() {
    for (Sequence& s : running_) {
      if (s.to_prefill > 0) continue;
      const std::int64_t tokens = emitted();
      s.context += tokens;
      give_tokens(s, tokens);
    }
    leave();
  }

  void static_batch() {
    while (!waiting_.empty() && !full()) {
      Sequence s = waiting_.front();
      const std::int64_t whole = s.to_prefill + s.left + server_.draft_tokens;
      if (!grow(s, whole)) break;  // room for all of it: nothing is preempted
      waiting_.pop_front();
      running_.push_back(s);
    }
    std::int64_t tokens = 0, left = 0;
    for (Sequence& s : running_) {
      tokens += s.to_prefill;
      s.context = s.to_prefill;
      left = std::max(left, s.left);
    }
    const auto n = static_cast<double>(running_.size());
    for (; tokens > 0; tokens -= std::min(tokens, server_.max_batch_tokens))
      spend(prices_.prefill(std::min(tokens, server_.max_batch_tokens)));
    for (Sequence& s : running_) give_tokens(s, 1);
    const auto wants = [](const Sequence& s) { return s.left > 0; };
    while (std::any_of(running_.begin(), running_.end(), wants)) {
      out_.slots += n;
      ++out_.decoding_steps;
      out_.occupied += static_cast<double>(std::count_if(running_.begin(), running_.end(), wants));
      spend(decode_time(n, mean_context()));
      for (Sequence& s : running_) {
        const std::int64_t more = emitted();
        s.context += more;
        if (s.left > 0) give_tokens(s, more);
      }
    }
    leave();
  }

  // A piece of one or more prompts beside the tokens of all that are decoded.
  void mixed() {
    make_room(1 + server_.draft_tokens);
    while (!waiting_.empty() && !full() &&
           grow(waiting_.front(), waiting_.front().to_prefill + 1)) {
      running_.push_back(waiting_.front());
      waiting_.pop_front();
    }
    if (running_.empty()) return;
    double decoding = 0, context = 0;
    for (const Sequence& s : running_)
      if (s.to_prefill == 0) {
        ++decoding;
        context += static_cast<double>(s.context);
      }
    std::int64_t budget =
        std::max<std::int64_t>(1, server_.max_batch_tokens - static_cast<std::int64_t>(decoding));
    std::vector<std::size_t> finished;
    std::int64_t chunk = 0;
    for (std::size_t i = 0; i < running_.size() && budget > 0; ++i) {
      Sequence& s = running_[i];
      if (s.to_prefill == 0) continue;
      const std::int64_t part = std::min(budget, s.to_prefill);
      budget -= part;
      chunk += part;
      s.context += part;
      s.to_prefill -= part;
      if (s.to_prefill == 0) finished.push_back(i);
    }
    const double mean = decoding > 0 ? std::max(1.0, context / decoding) : 1;
    if (chunk == 0)
      spend(decode_time(decoding, mean));
    else
      spend(prices_.prefill(chunk + static_cast<std::int64_t>(decoding)) +
            (decoding > 0 ? decode_time(decoding, mean) - decode_time(decoding, 1) : 0));
    out_.occupied += decoding;
    out_.slots += decoding;
    out_.decoding_steps += decoding > 0;
    after_mixed(finished);
  }

  void after_mixed(const std::vector<std::size_t>& finished) {
    for (std::size_t i = 0; i < running_.size(); ++i) {
      Sequence& s = running_[i];
      if (s.to_prefill > 0) continue;
      const bool fresh = std::binary_search(finished.begin(), finished.end(), i);
      const std::int64_t tokens = fresh ? 1 : emitted();
      if (!fresh) s.context += tokens;
      give_tokens(s, tokens);
    }
    leave();
  }

  const std::vector<Request>& requests_;
  const Server& server_;
  const StepPrices& prices_;
  bool prefilled_;
  std::int64_t free_;
  std::mt19937_64 random_;
  std::deque<Sequence> waiting_;
  std::vector<Sequence> running_;
  std::size_t next_ = 0;
  double now_ = 0;
  Served out_;
};

}  // namespace

Served serve(const std::vector<Request>& requests, const Server& server, const StepPrices& prices) {
  return ServerRun(requests, server, prices, false).run();
}

Served serve_apart(const std::vector<Request>& requests, const Server& prefill,
                   const Server& decode, const StepPrices& prices) {
  std::vector<Request> prompts = requests;
  for (Request& r : prompts) r.output = 1;
  Served first = serve(prompts, prefill, prices);
  // The first token comes from prefill; decode begins when the cache is there, in that order.
  std::vector<std::size_t> order;
  std::vector<Request> later;
  for (std::size_t i = 0; i < requests.size(); ++i)
    if (requests[i].output > 1) order.push_back(i);
  const auto ready = [&](std::size_t i) {
    return requests[i].arrival + first.first_token[i] +
           prices.transfer_per_token * static_cast<double>(requests[i].prompt);
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return ready(a) < ready(b); });
  for (const std::size_t i : order)
    later.push_back({ready(i), requests[i].prompt, requests[i].output - 1});
  Served out = ServerRun(later, decode, prices, true).run();
  Served all = first;
  for (std::size_t j = 0; j < order.size(); ++j)
    all.done[order[j]] = later[j].arrival + out.done[j] - requests[order[j]].arrival;
  all.end = std::max(first.end, out.end);
  all.preemptions += out.preemptions;
  all.peak_blocks = std::max(all.peak_blocks, out.peak_blocks);
  all.tokens += out.tokens;
  all.steps += out.steps;
  all.occupied += out.occupied;
  all.slots += out.slots;
  all.decoding_steps += out.decoding_steps;
  return all;
}

}  // namespace rehearse
