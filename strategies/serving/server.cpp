#include "strategies/serving/server.hpp"

#include <algorithm>
#include <utility>

namespace rehearse {

ServerRun::ServerRun(const std::vector<Request>& requests, const Server& server,
                     const StepPrices& prices, Role role, Served& out)
    : requests_(requests),
      server_(server),
      prices_(prices),
      role_(role),
      out_(out),
      free_(server.blocks),
      random_(server.seed) {}

void ServerRun::take(std::size_t request) {
  const Request& r = requests_[request];
  const std::int64_t wanted = role_ == Role::kPrefill  ? 1
                              : role_ == Role::kDecode ? r.output - 1
                                                       : r.output;
  waiting_.push_back({request, 0, r.prompt, wanted, 0, role_ == Role::kDecode});
}

std::vector<std::size_t> ServerRun::prefilled() { return std::exchange(prefilled_, {}); }

std::int64_t ServerRun::blocks_of(std::int64_t tokens) const {
  return (tokens + server_.block_tokens - 1) / server_.block_tokens;
}

// Room for `tokens` in all; false when there is none.
bool ServerRun::grow(Sequence& s, std::int64_t tokens) {
  const std::int64_t more = blocks_of(tokens) - s.blocks;
  if (more <= 0) return true;
  if (more > free_) return false;
  free_ -= more;
  s.blocks += more;
  out_.peak_blocks = std::max(out_.peak_blocks, server_.blocks - free_);
  return true;
}

void ServerRun::give_back(Sequence& s) {
  free_ += s.blocks;
  s.blocks = 0;
}

bool ServerRun::full() const {
  return static_cast<std::int64_t>(running_.size()) >= server_.max_batch_size;
}

double ServerRun::step(double now) {
  now_ = now;
  while (now_ == now && !idle()) one_step();
  return now_;
}

void ServerRun::one_step() {
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

void ServerRun::spend(double time) {
  now_ += time;
  ++out_.steps;
}

void ServerRun::give_tokens(Sequence& s, std::int64_t tokens) {
  tokens = std::min(tokens, s.left);
  s.left -= tokens;
  out_.tokens += tokens;
  const double since = now_ - requests_[s.request].arrival;
  if (out_.first_token[s.request] < 0) out_.first_token[s.request] = since;
  if (s.left > 0) return;
  if (role_ == Role::kPrefill && requests_[s.request].output > 1)
    prefilled_.push_back(s.request);
  else
    out_.done[s.request] = since;
}

void ServerRun::leave() {
  for (Sequence& s : running_)
    if (s.left == 0) give_back(s);
  std::erase_if(running_, [](const Sequence& s) { return s.left == 0; });
}

// The last that came gives its blocks back and begins again, with what it had.
void ServerRun::preempt() {
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
void ServerRun::make_room(std::int64_t tokens) {
  for (std::size_t i = 0; i < running_.size(); ++i)
    while (i < running_.size() && !grow(running_[i], running_[i].context + tokens)) preempt();
}

std::int64_t ServerRun::emitted() {
  std::int64_t n = 1;
  for (int i = 0; i < server_.draft_tokens; ++i, ++n) {
    const double u = (static_cast<double>(random_() >> 11U) + 0.5) * 0x1p-53;
    if (u >= server_.acceptance) break;
  }
  return n;
}

double ServerRun::mean_context() const {
  double sum = 0;
  for (const Sequence& s : running_) sum += static_cast<double>(s.context);
  return running_.empty() ? 1 : std::max(1.0, sum / static_cast<double>(running_.size()));
}

// With speculation the draft model decodes first, and then every sequence has several tokens to
// check: more rows for the weights, and the same cache to attend to.
double ServerRun::decode_time(double sequences, double context) const {
  const double g = server_.draft_tokens;
  if (server_.draft_tokens == 0) return prices_.decode(sequences, context);
  return g * prices_.draft(sequences, context) + prices_.decode((g + 1) * sequences, 1) +
         prices_.decode(sequences, context) - prices_.decode(sequences, 1);
}

double ServerRun::mixed_time(const Mixture& m) const {
  if (m.tokens == 0) return decode_time(m.decoding, m.context);
  const double g = server_.draft_tokens;
  double time = m.attention;
  if (m.decoding > 0)
    time += prices_.decode(m.decoding, m.context) - prices_.decode(m.decoding, 1) +
            (g > 0 ? g * prices_.draft(m.decoding, m.context) : 0);
  return time + prices_.products(m.tokens + static_cast<std::int64_t>((g + 1) * m.decoding));
}

// Prompts that find room, prefilled together.
bool ServerRun::prefill() {
  std::int64_t tokens = 0;
  double attention = 0;
  const std::size_t first = running_.size();
  while (!waiting_.empty() && !full()) {
    Sequence s = waiting_.front();
    if (tokens > 0 && tokens + s.to_prefill > server_.max_batch_tokens) break;
    if (!grow(s, s.to_prefill + 1)) break;
    waiting_.pop_front();
    if (!s.ready) {
      tokens += s.to_prefill;
      attention += prices_.attention(s.to_prefill, s.to_prefill);
    }
    s.context = s.to_prefill;
    s.to_prefill = 0;
    running_.push_back(s);
  }
  if (tokens == 0) return false;  // nothing new, or its cache came from elsewhere
  spend(prices_.products(tokens) + attention);
  for (std::size_t i = first; i < running_.size(); ++i)
    if (!running_[i].ready) give_tokens(running_[i], 1);
  leave();
  return true;
}

void ServerRun::decode() {
  make_room(1 + server_.draft_tokens);
  if (running_.empty()) return;
  const auto n = static_cast<double>(running_.size());
  out_.occupied += n;
  out_.slots += n;
  ++out_.decoding_steps;
  spend(decode_time(n, mean_context()));
  after_mixed({});
}

void ServerRun::static_batch() {
  while (!waiting_.empty() && !full()) {
    Sequence s = waiting_.front();
    const std::int64_t whole = s.to_prefill + s.left + server_.draft_tokens;
    if (!grow(s, whole)) break;  // room for all of it: nothing is preempted
    waiting_.pop_front();
    running_.push_back(s);
  }
  std::int64_t tokens = 0;
  double attention = 0;
  for (Sequence& s : running_) {
    tokens += s.to_prefill;
    attention += prices_.attention(s.to_prefill, s.to_prefill);
    s.context = s.to_prefill;
    s.to_prefill = 0;
  }
  for (; tokens > 0; tokens -= std::min(tokens, server_.max_batch_tokens))
    spend(prices_.products(std::min(tokens, server_.max_batch_tokens)) +
          std::exchange(attention, 0.0));
  for (Sequence& s : running_) give_tokens(s, 1);
  const auto n = static_cast<double>(running_.size());
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

// Fills a step up to max_batch_tokens, the tokens of what is decoded first.
ServerRun::Mixture ServerRun::mixture() {
  Mixture m;
  for (const Sequence& s : running_)
    if (s.to_prefill == 0) {
      ++m.decoding;
      m.context += static_cast<double>(s.context);
    }
  m.context = m.decoding > 0 ? std::max(1.0, m.context / m.decoding) : 1;
  const auto decoded = static_cast<std::int64_t>(m.decoding) * (1 + server_.draft_tokens);
  std::int64_t budget = std::max<std::int64_t>(1, server_.max_batch_tokens - decoded);
  for (std::size_t i = 0; i < running_.size() && budget > 0; ++i) {
    Sequence& s = running_[i];
    if (s.to_prefill == 0) continue;
    const std::int64_t part = std::min(budget, s.to_prefill);
    budget -= part;
    m.tokens += part;
    s.context += part;
    s.to_prefill -= part;
    m.attention += prices_.attention(part, s.context);
    if (s.to_prefill == 0) m.finished.push_back(i);
  }
  return m;
}

// A piece of one or more prompts beside the tokens of all that are decoded.
void ServerRun::mixed() {
  make_room(1 + server_.draft_tokens);
  while (!waiting_.empty() && !full() && grow(waiting_.front(), waiting_.front().to_prefill + 1)) {
    running_.push_back(waiting_.front());
    waiting_.pop_front();
  }
  if (running_.empty()) return;
  const Mixture m = mixture();
  spend(mixed_time(m));
  out_.occupied += m.decoding;
  out_.slots += m.decoding;
  out_.decoding_steps += m.decoding > 0;
  after_mixed(m.finished);
}

// Every sequence whose prompt is in the cache gets its next tokens; one that has just come there
// (`finished`), its first.
void ServerRun::after_mixed(const std::vector<std::size_t>& finished) {
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

}  // namespace rehearse
