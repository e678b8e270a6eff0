#include "tools/cli/serving.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

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
    s.inference = {};
    s.inference.batch = batch;
    (prefill ? s.inference.prompt_length : s.inference.context_length) = length;
    s.inference.cuda_graph =
        !prefill && scenario_.serving->cuda_graph && s.plan.pipeline_parallel == 1;
    s.training.sequence_length = prefill ? length : 1;
    s.training.micro_batch_size = s.training.global_batch_size = batch;
    s.training.causal = prefill;
    return simulate(s, options_);
  }

  // A step of so many new tokens, but for attention.
  double products(double tokens) {
    return between(tokens, [&](std::int64_t n) {
      const double whole = price(Task::kPrefill, 1, n);
      return std::max(whole - attention(n, n), 1e-3 * whole);
    });
  }
  // Over all layers. Latents of tokens that are in the cache are expanded again for every piece.
  double attention(std::int64_t queries, std::int64_t keys) {
    if (!kernel_) find_kernel();
    AttentionWork w = kernel_->work;
    w.length = queries;
    w.kv_length = keys;
    double time = kernel_time(kernel_->gpu, w, Clocks::kSustained).value;
    const LatentAttention& latent = kernel_->model.latent;
    if (latent.rank > 0 && keys > queries) {
      GemmWork expand;
      expand.m = keys - queries;
      expand.n = w.heads * (latent.plain + latent.value);
      expand.k = latent.rank;
      expand.dtype = expand.out = w.dtype;
      time += kernel_time(kernel_->gpu, expand, Clocks::kSustained).value;
    }
    return time * static_cast<double>(kernel_->model.layers);
  }
  double decode(double sequences, double context) {
    return between(sequences, [&](std::int64_t b) {
      return between(context, [&](std::int64_t c) { return price(Task::kDecode, b, c); });
    });
  }

 private:
  struct AttentionKernel {
    AttentionWork work;  // of one layer and rank
    Gpu gpu;
    Model model;
  };

  void find_kernel() {
    const Simulation s = pass(Task::kPrefill, 1, 2);
    AttentionKernel out{{}, s.cluster.gpu, s.model};
    for (const Segment& segment : s.program.segments)
      for (const Instr& i : segment.instrs)
        if (const auto* kernel = std::get_if<Kernel>(&i.what))
          if (const auto* work = std::get_if<AttentionWork>(&kernel->work)) out.work = *work;
    kernel_ = std::move(out);
  }

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
  std::optional<AttentionKernel> kernel_;
};

Fleet fleet_of(const Scenario& scenario, const ResolvedPlan& plan) {
  const Serving& serving = *scenario.serving;
  const int size = plan.tensor * plan.pipeline;
  if (serving.prefill_gpus == 0) return {plan.data, 0};
  const int all = plan.data * size;
  if (serving.prefill_gpus + serving.decode_gpus != all)
    throw UserError(scenario.mark_of("serving"),
                    fmt::format("prefill_gpus {} + decode_gpus {} are not the cluster's {} GPUs",
                                serving.prefill_gpus, serving.decode_gpus, all));
  if (serving.prefill_gpus % size != 0)
    throw UserError(
        scenario.mark_of("serving"),
        fmt::format("prefill_gpus {} do not divide into groups of {}", serving.prefill_gpus, size));
  return {plan.data, serving.prefill_gpus / size};
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
  const Fleet fleet = fleet_of(scenario, full.plan);
  const std::vector<Request> requests = make_requests(serving);
  const std::int64_t tokens = cache_tokens(scenario, full);
  check_fits(scenario, requests, tokens);

  Scenario small = scenario;
  if (serving.speculation) small.model = resolve("models", serving.speculation->draft);
  PassPrices draft(small, options);
  StepPrices prices;
  prices.products = [&](std::int64_t n) { return target.products(static_cast<double>(n)); };
  prices.attention = [&](std::int64_t q, std::int64_t k) { return target.attention(q, k); };
  prices.decode = [&](double b, double c) { return target.decode(b, c); };
  prices.draft = [&](double b, double c) { return draft.decode(b, c); };
  // A rank's part of the cache goes to the rank of the other server that has the same part.
  const double token = static_cast<double>(full.report.kv_cache_peak.value) /
                       static_cast<double>(serving.max_batch_tokens + 1);
  const int size = full.plan.tensor * full.plan.pipeline;
  prices.transfer = [&](int from, int to, std::int64_t n) {
    const Bytes sent(std::llround(token * static_cast<double>(n)));
    return point_to_point_time(full.cluster, from * size, to * size, sent).value;
  };

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
  const Served served = serve(requests, server, prices, fleet);
  ServingReport report = report_of(requests, served);
  double context = 0;
  for (const Request& r : requests)
    context += static_cast<double>(r.prompt) + static_cast<double>(r.output) / 2;
  report.context = context / static_cast<double>(requests.size());
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
