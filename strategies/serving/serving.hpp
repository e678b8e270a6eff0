#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "sim/config/scenario.hpp"

namespace rehearse {

// Serving: requests that arrive over time share a model's GPUs. Times are seconds.
struct Request {
  double arrival = 0;
  std::int64_t prompt = 1, output = 1;  // tokens
};

// The requests of a scenario: of its trace, or drawn by its seed, by arrival.
std::vector<Request> make_requests(const Serving& serving);

// What the parts of a step cost.
struct StepPrices {
  // A step of so many new tokens, without attention: they go through the weights together.
  std::function<double(std::int64_t tokens)> products;
  // Attention of one sequence's `queries` new tokens to `keys`, themselves and all before them.
  std::function<double(std::int64_t queries, std::int64_t keys)> attention;
  // A whole step of one token for every sequence, with `context` tokens each in the cache; of the
  // model, and of the draft model.
  std::function<double(double sequences, double context)> decode, draft;
  // The cache of so many tokens sent from one server to another.
  std::function<double(int from, int to, std::int64_t tokens)> transfer;
};

// One group of GPUs that holds the model once.
struct Server {
  Batching batching = Batching::kContinuous;
  std::int64_t max_batch_tokens = 8192, max_batch_size = 256;
  std::int64_t blocks = 0, block_tokens = 16;  // of the paged cache
  int draft_tokens = 0;                        // 0: no speculation
  double acceptance = 0;
  std::uint64_t seed = 1;
};

struct Served {
  std::vector<double> first_token, done;  // of every request, after its arrival
  double end = 0;
  std::int64_t preemptions = 0, peak_blocks = 0, tokens = 0, steps = 0, decoding_steps = 0;
  double occupied = 0, slots = 0;  // sequences that still want tokens, and all that a step computes
};

// Servers that take requests: all do everything, or the first `prefill` of them prefill and send
// the caches to the others, which decode.
struct Fleet {
  int servers = 1;
  int prefill = 0;
};

// Model. An event simulation over the servers: a request arrives, a server ends a step, a cache
// arrives, in the order of (time, kind, server). A request goes to the server with the fewest, and
// a server considers what has come between two of its steps. A step depends on the queue that the
// steps before it left, so there is no graph to replay: the engine prices the steps, and this
// decides them. A server that prefills sends one cache after another over its links.
//
// - static: a batch is prefilled together and decoded until its longest answer ends; sequences that
//   are done go on being computed.
// - continuous: prompts are prefilled as soon as there is room, before anything is decoded; a
//   sequence leaves when it is done (Yu et al., Orca, 2022).
// - chunked_prefill: every step decodes all sequences and fills up to max_batch_tokens with pieces
//   of prompts (Agrawal et al., Sarathi-Serve, 2024): all its tokens go through the weights
//   together, and each piece attends to the pieces before it.
//
// The cache is paged (Kwon et al., vLLM, 2023): a sequence takes blocks as it grows; when none is
// left, the one that came last gives its blocks back and is prefilled again later with what it had
// (preemption by recomputation). A request that no empty cache could hold is refused beforehand.
//
// Speculation: each step the draft model decodes `draft_tokens` one after the other and the model
// checks them together: 1 + as many as are accepted come out.
Served serve(const std::vector<Request>& requests, const Server& server, const StepPrices& prices,
             const Fleet& fleet = {});

}  // namespace rehearse
