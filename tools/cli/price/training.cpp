#include <fmt/format.h>

#include "sim/base/format.hpp"
#include "sim/report/economics.hpp"
#include "tools/cli/price/operators.hpp"

namespace rehearse {

// No simulation: 6 FLOPs a parameter and token (the MFU's convention, without attention) at a share
// of the peak that the user states.
Priced price_training(std::string_view, PriceArguments& arguments, PriceMachines& machines,
                      bool explain) {
  constexpr double kFlopsPerParameter = 6;
  const Gpu* gpu = read_gpu_of(arguments, machines);
  const DType dtype = read_dtype(arguments);
  const auto gpus = static_cast<int>(arguments.count("gpus", 1));
  const double flops_per_token = kFlopsPerParameter * arguments.number("parameters");
  const double tokens = arguments.number("tokens"), mfu = arguments.number("mfu");
  if (mfu > 1) arguments.error("mfu", "'mfu' is a fraction, at most 1");
  if (!gpu) return {};
  Economics economics;
  if (arguments.has("price")) economics.price_per_gpu_hour = arguments.number("price");
  economics.power = arguments.power("power", gpu->power.limit);
  economics.pue = arguments.number("pue", 1);
  const double rate = mfu * gpu->peak_of(dtype).value * gpus / flops_per_token;
  const TrainingRun run = training_run(economics, tokens, rate, gpus);
  Priced result;
  result.time = run.time;
  if (!explain) return result;
  const auto fact = [&](const char* label, std::string text, const char* key, double value) {
    result.facts.push_back({label, std::move(text), key, value});
  };
  fact("training time", format_days(run.time), "training_time_s", run.time.value);
  fact("throughput", fmt::format("{:.0f} tokens/s", rate), "tokens_per_second", rate);
  fact("FLOPs", format_flops(Flops(tokens * flops_per_token)), "flops", tokens * flops_per_token);
  fact("GPU-hours", format_count(static_cast<std::int64_t>(run.gpu_hours)), "gpu_hours",
       run.gpu_hours);
  if (run.cost > 0) fact("cost", format_money(run.cost), "cost", run.cost);
  if (run.joules > 0) fact("energy", format_energy(run.joules), "energy_j", run.joules);
  return result;
}

}  // namespace rehearse
