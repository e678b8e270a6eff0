#include "tools/cli/serving.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "sim/base/error.hpp"
#include "strategies/serving/serving.hpp"

namespace rehearse {
namespace {

// Steps of one model, each simulated once at sizes that are powers of two, and interpolated in
// between along the logarithms of sizes.
class PassPrices {
 public:
  PassPrices(Scenario scenario, SimulationOptions options)
      : scenario_(std::move(scenario)), options_(options) {}

  Simulation pass(Task task, std::int64_t batch, std::int64_t length) const {
    Scenario s = scenario_;
    s.task = task;
    s.serving.reset();
    const bool prefill = task == Task::kPrefill;
    s.inference = {batch, prefill ? length : 0, prefill ? 0 : length,
                   !prefill && scenario_.serving->cuda_graph && s.plan.pipeline_parallel == 1};
    s.training.sequence_length = prefill ? length : 1;
    s.training.micro_batch_size = s.training.global_batch_size = batch;
    s.training.causal = prefill;
    return simulate(s, options_);
  }

  // `tokens` of prompts, as one: what pieces share is the products, which are most of it.
  double prefill(double tokens) {
    return between(tokens, [&](std::int64_t n) { return price(Task::kPrefill, 1, n); });
  }
  double decode(double sequences, double context) {
    return between(sequences, [&](std::int64_t b) {
      return between(context, [&](std::int64_t c) { return price(Task::kDecode, b, c); });
    });
  }

 private:
  template <class At>
  static double between(double size, const At& at) {
    const double power = std::log2(std::max(1.0, size));
    const double low = std::floor(power), share = power - low;
    const auto n = static_cast<std::int64_t>(std::exp2(low));
    const double first = at(n);
    return share > 0 ? first * std::pow(at(2 * n) / first, share) : first;
  }
  double price(Task task, std::int64_t batch, std::int64_t length) {
    const auto [known, fresh] = times_.try_emplace({task, batch, length}, 0);
    if (fresh) known->second = pass(task, batch, length).report.step_time.value;
    return known->second;
  }

  Scenario scenario_;
  SimulationOptions options_;
  std::map<std::tuple<Task, std::int64_t, std::int64_t>, double> times_;
};

struct Groups {
  int prefill = 0, decode = 0;  // servers; prefill 0: every server does both
};

Groups groups_of(const Scenario& scenario, const ResolvedPlan& plan) {
  const Serving& serving = *scenario.serving;
  const int size = plan.tensor * plan.pipeline;
  if (serving.prefill_gpus == 0) return {0, plan.data};
  const int all = plan.data * size;
  if (serving.prefill_gpus + serving.decode_gpus != all)
    throw UserError(scenario.mark_of("serving"),
                    fmt::format("prefill_gpus {} + decode_gpus {} are not the cluster's {} GPUs",
                                serving.prefill_gpus, serving.decode_gpus, all));
  if (serving.prefill_gpus % size != 0)
    throw UserError(
        scenario.mark_of("serving"),
        fmt::format("prefill_gpus {} do not divide into groups of {}", serving.prefill_gpus, size));
  return {serving.prefill_gpus / size, serving.decode_gpus / size};
}

// Tokens that a group's cache holds: what weights and a step of the most prompts leave.
std::int64_t cache_tokens(const Scenario& scenario, const Simulation& full) {
  const Serving& serving = *scenario.serving;
  const RunReport& r = full.report;
  const Bytes others = r.peak_reserved - r.kv_cache_peak + r.memory_overhead;
  const Bytes left = r.memory_capacity - others;
  const double token = static_cast<double>(r.kv_cache_peak.value) /
                       static_cast<double>(serving.max_batch_tokens + 1);
  if (left.value <= 0 || !(token > 0))
    throw UserError(scenario.mark_of("serving"),
                    fmt::format("weights and a step of {} tokens leave no memory for a cache",
                                serving.max_batch_tokens),
                    "a smaller max_batch_tokens, or more tensor_parallel");
  return static_cast<std::int64_t>(static_cast<double>(left.value) / token);
}

void check_fits(const Scenario& scenario, const std::vector<Request>& requests,
                std::int64_t tokens) {
  const Serving& s = *scenario.serving;
  const std::int64_t draft = s.speculation ? s.speculation->tokens : 0;
  for (const Request& r : requests)
    if (r.prompt + r.output + draft + s.block_tokens > tokens)
      throw UserError(scenario.mark_of("serving"),
                      fmt::format("a request of {} + {} tokens is longer than the cache, {} tokens",
                                  r.prompt, r.output, tokens));
}

void add(Served& all, const Served& part) {
  const auto append = [](auto& to, const auto& from) {
    to.insert(to.end(), from.begin(), from.end());
  };
  append(all.first_token, part.first_token);
  append(all.done, part.done);
  all.end = std::max(all.end, part.end);
  all.preemptions += part.preemptions;
  all.peak_blocks = std::max(all.peak_blocks, part.peak_blocks);
  all.tokens += part.tokens;
  all.steps += part.steps;
  all.occupied += part.occupied;
  all.slots += part.slots;
  all.decoding_steps += part.decoding_steps;
}

ServingReport report_of(const std::vector<Request>& requests, const Served& served) {
  ServingReport out;
  out.requests = static_cast<std::int64_t>(requests.size());
  out.preemptions = served.preemptions;
  out.steps = served.steps;
  out.duration = served.end;
  out.tokens_per_second = served.end > 0 ? static_cast<double>(served.tokens) / served.end : 0;
  if (served.slots > 0) out.occupied = served.occupied / served.slots;
  std::vector<double> between;
  for (std::size_t i = 0; i < requests.size(); ++i)
    if (requests[i].output > 1)
      between.push_back((served.done[i] - served.first_token[i]) /
                        static_cast<double>(requests[i].output - 1));
  out.first_token = spread_of(served.first_token);
  out.per_output_token = spread_of(std::move(between));
  return out;
}

// Requests go to the servers in turn.
Served serve_all(const std::vector<Request>& requests, std::vector<Request>& ordered,
                 const Groups& groups, const Server& server, const StepPrices& prices) {
  const int parts = groups.prefill > 0 ? groups.prefill : groups.decode;
  Served all;
  for (int g = 0; g < parts; ++g) {
    std::vector<Request> part;
    for (std::size_t i = static_cast<std::size_t>(g); i < requests.size();
         i += static_cast<std::size_t>(parts))
      part.push_back(requests[i]);
    if (part.empty()) continue;
    ordered.insert(ordered.end(), part.begin(), part.end());
    Server one = server;
    one.seed += static_cast<std::uint64_t>(g);
    add(all, groups.prefill > 0 ? serve_apart(part, one, one, prices) : serve(part, one, prices));
  }
  return all;
}

}  // namespace

Spread spread_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {  // the nearest rank
    const double rank = std::ceil(share * static_cast<double>(values.size()));
    return values[static_cast<std::size_t>(std::max(rank, 1.0)) - 1];
  };
  double sum = 0;
  for (const double v : values) sum += v;
  return {sum / static_cast<double>(values.size()), at(0.5), at(0.95), at(0.99)};
}

Simulation simulate_serving(const Scenario& scenario, const SimulationOptions& options) {
  const Serving& serving = *scenario.serving;
  PassPrices target(scenario, options);
  const Simulation full = target.pass(Task::kPrefill, 1, serving.max_batch_tokens);
  const Groups groups = groups_of(scenario, full.plan);
  if (groups.prefill != 0 && groups.prefill != groups.decode)
    throw UserError(scenario.mark_of("serving"),
                    "as many groups of GPUs prefill as decode in this version");
  const std::vector<Request> requests = make_requests(serving);
  const std::int64_t tokens = cache_tokens(scenario, full);
  check_fits(scenario, requests, tokens);

  Scenario small = scenario;
  if (serving.speculation) small.model = resolve("models", serving.speculation->draft);
  PassPrices draft(small, options);
  StepPrices prices;
  prices.prefill = [&](std::int64_t n) { return target.prefill(static_cast<double>(n)); };
  prices.decode = [&](double b, double c) { return target.decode(b, c); };
  prices.draft = [&](double b, double c) { return draft.decode(b, c); };
  // Every token to check attends as a sequence of its own would.
  prices.verify = [&](double n, double c) { return target.decode(n, c); };
  const double token = static_cast<double>(full.report.kv_cache_peak.value) /
                       static_cast<double>(serving.max_batch_tokens + 1);
  const Link& link = full.cluster.nodes > 1 && full.cluster.gpus_per_node < 2
                         ? full.cluster.inter_node
                         : full.cluster.intra_node;
  prices.transfer_per_token = link.bandwidth.value > 0 ? token / link.bandwidth.value : 0;

  Server server{serving.batching,
                serving.max_batch_tokens,
                serving.max_batch_size,
                tokens / serving.block_tokens,
                serving.block_tokens,
                0,
                0,
                serving.seed};
  if (serving.speculation) {
    server.draft_tokens = serving.speculation->tokens;
    server.acceptance = serving.speculation->acceptance;
  }
  std::vector<Request> ordered;
  const Served served = serve_all(requests, ordered, groups, server, prices);

  ServingReport report = report_of(ordered, served);
  double context = 0;
  for (const Request& r : ordered)
    context += static_cast<double>(r.prompt) + static_cast<double>(r.output) / 2;
  report.context = context / static_cast<double>(ordered.size());
  report.batch =
      served.decoding_steps > 0 ? served.slots / static_cast<double>(served.decoding_steps) : 1;
  Simulation out = target.pass(Task::kDecode, std::max<std::int64_t>(1, std::llround(report.batch)),
                               std::max<std::int64_t>(1, std::llround(report.context)));
  const double cache = static_cast<double>(served.peak_blocks * serving.block_tokens) * token;
  out.report.kv_cache_peak = Bytes(std::llround(cache));
  out.report.peak_memory =
      full.report.peak_memory - full.report.kv_cache_peak + out.report.kv_cache_peak;
  out.report.task = "serving";
  out.report.tokens_per_second = report.tokens_per_second;
  out.report.tokens_per_second_per_gpu = report.tokens_per_second / out.report.gpus;
  out.report.serving = report;
  return out;
}

}  // namespace rehearse
