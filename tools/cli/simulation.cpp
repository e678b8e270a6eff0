#include "tools/cli/simulation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <vector>

#include "hardware/attention_model.hpp"
#include "models/fine_tuning.hpp"
#include "models/op_graph.hpp"
#include "sim/base/format.hpp"
#include "strategies/build_program.hpp"
#include "strategies/priced_segment.hpp"
#include "strategies/segments/recompute.hpp"
#include "strategies/step_clock.hpp"
#include "strategies/step_power.hpp"
#include "tools/cli/evidence.hpp"
#include "tools/cli/interval.hpp"
#include "tools/cli/memory_report.hpp"
#include "tools/cli/serving.hpp"

namespace rehearse {
namespace {

// FLOPs that recomputation adds, of the whole step; not causal, as `mfu` counts.
Flops recomputed_flops(const Simulation& s) {
  const Training& t = s.plan.training;
  if (t.recompute == Recompute::kNone) return Flops(0);
  GraphOptions o = graph_options(s.plan);
  o.sequence = t.sequence_length;
  const ModelGraphs graphs = build_graphs(s.model, o);
  Flops sum(0);
  // What has no backward is not run again.
  const std::int64_t first = std::max<std::int64_t>(0, first_trainable(graphs) - 1);
  for (std::int64_t l = first; l < s.model.layers; ++l) {
    const OpGraph& g = layer_graph(graphs, l);
    const bool alternate = t.recompute == Recompute::kAlternate;
    const Recompute of_layer = !alternate   ? t.recompute
                               : l % 2 == 1 ? Recompute::kFull
                                            : Recompute::kNone;
    for (const Op& op : g.ops)
      sum += forward_flops(g, op, false) * recomputed_share(of_layer, g, op);
  }
  return sum * (static_cast<double>(t.global_batch_size / t.micro_batch_size));
}

// Of the cluster's GPUs, of whatever types.
FlopsPerSecond mean_peak(const Cluster& cluster, DType type) {
  const FlopsPerSecond peak = cluster.gpu.peak_of(type);
  if (cluster.other_gpus.empty()) return peak;
  double sum = 0;
  for (int r = 0; r < cluster.gpus(); ++r)
    sum += cluster.gpu_of_type(gpu_state(cluster, r).gpu_type).peak_of(type).value;
  return FlopsPerSecond(sum / cluster.gpus());
}

}  // namespace

void report_throughput(Simulation& s) {
  RunReport& r = s.report;
  const Training& t = s.plan.training;
  r.tokens_per_step = t.global_batch_size * t.sequence_length;
  const double tokens = static_cast<double>(r.tokens_per_step), gpus = r.gpus;
  const auto per_gpu = [&](Flops f) { return f / r.step_time * (1 / gpus); };
  const FlopsPerSecond peak = mean_peak(s.cluster, t.precision.matmul);
  const bool training = s.plan.task == Task::kTraining;
  const std::int64_t attended =
      s.plan.task == Task::kDecode ? s.plan.inference.context_length : t.sequence_length;
  const double passes = training ? 1 : 1.0 / 3;  // forward alone
  const FineTuning& tuned = t.fine_tuning;
  const Flops model = model_flops_per_token(s.model, attended, false, tuned) * (tokens * passes);
  const Flops causal =
      s.plan.task == Task::kDecode
          ? model
          : model_flops_per_token(s.model, attended, true, tuned) * (tokens * passes);
  r.tokens_per_second = tokens / r.step_time.value;
  r.tokens_per_second_per_gpu = r.tokens_per_second / gpus;
  r.model_tflops_per_gpu = per_gpu(model).value * 1e-12;
  r.mfu = per_gpu(model).value / peak.value;
  r.mfu_causal = per_gpu(causal).value / peak.value;
  r.hfu = per_gpu(model + recomputed_flops(s)).value / peak.value;
}

void report_economics(Simulation& s, PowerMeter& meter) {
  s.report.economics = {s.cluster.price_per_gpu_hour, meter.average(s.report.step_time),
                        s.cluster.pue, 0};
}

namespace {

void describe(Simulation& s, const Scenario& scenario) {
  RunReport& r = s.report;
  r.scenario = scenario.name;
  r.plan_name = scenario.plan_name;
  r.model = s.model.name;
  r.cluster = s.cluster.name;
  r.gpu = s.cluster.gpu.name;
  r.runtime = scenario.runtime_name;
  r.precision = s.plan.training.precision.name;
  if (s.plan.task != Task::kTraining) r.task = s.plan.task == Task::kPrefill ? "prefill" : "decode";
  r.plan_text = plan_text(s.plan);
  r.settings = plan_settings(s.plan);
  r.parameters = parameter_count(s.model, s.plan.training.fine_tuning);
  r.trainable_parameters = trainable_parameter_count(s.model, s.plan.training.fine_tuning);
  r.gpus = s.cluster.gpus();
}

void times(Simulation& s) {
  const TaskGraph& g = s.lowered.graph;
  const Annotations& notes = s.lowered.notes;
  const StepWindow window = step_window(g, s.timeline, notes);
  RunReport& r = s.report;
  r.step_time = (window.end - window.begin).seconds();
  r.utilisation = utilisation(g, s.timeline, notes, window);
  const auto account = step_account(g, s.timeline, notes, window);
  r.breakdown = to_breakdown(account.parts);
  r.communication = account.communication;
}

// FLOPs of the matrix products and attention that one rank runs in a step. One in fp8 counts as
// much less as its peak is higher than bf16's, as a multiprocessor draws the same at either peak.
Flops step_flops(const Program& program, const RankProgram& rank, const Gpu& gpu) {
  const auto of_kernel = [&](const Kernel& k) {
    const auto* product = std::get_if<GemmWork>(&k.work);
    const bool narrow = product && product->dtype == DType::kFp8;
    const bool attends = gpu.attention && std::holds_alternative<AttentionWork>(k.work);
    const double drawn = attends ? gpu.attention->throttles_as : 1.0;
    return flops(k.work).value * drawn *
           (narrow ? gpu.peak_of(DType::kBf16).value / gpu.peak_of(DType::kFp8).value : 1.0);
  };
  std::vector<double> of_segment;
  for (const Segment& segment : program.segments) {
    double sum = 0;
    for (const Instr& i : segment.instrs) {
      if (const auto* k = std::get_if<Kernel>(&i.what)) sum += of_kernel(*k);
      if (const auto* beside = std::get_if<Overlap>(&i.what)) sum += of_kernel(beside->kernel);
    }
    of_segment.push_back(sum);
  }
  std::vector<double> of_pass(rank.steps.passes(), 0);
  for (std::uint32_t p = 0; p < of_pass.size(); ++p)
    for (const Step& step : rank.steps.pass(p))
      if (const auto* run = std::get_if<RunSegment>(&step.work))
        of_pass[p] += of_segment[run->segment];
  double sum = 0;
  for (const StepList::Call& call : rank.steps.calls()) sum += of_pass[call.pass];
  return Flops(sum);
}

struct Replay {
  bool merge = true;
  Variation variation;
  int trial = 0;
  bool merge_passes = true;
};

void replay_tasks(Simulation& s, const Replay& replay) {
  LowerOptions lower_options;
  lower_options.merge = replay.merge;
  lower_options.merge_passes = replay.merge_passes;
  lower_options.variation = replay.variation;
  lower_options.trial = replay.trial;
  s.lowered = lower(s.program, s.cluster, lower_options);
  s.timeline = simulate(s.lowered.graph);
}

}  // namespace

namespace {

// The largest of n draws from a normal distribution, in deviations from its mean (Blom 1958).
double largest_of(int n) {
  const double p = (n - 0.375) / (n + 0.25);  // of n draws that lie below it
  double low = -8, high = 8;
  while (high - low > 1e-9) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return n < 2 ? 0 : low;
}

}  // namespace

bool throttle_clocks(Simulation& s, Seconds step) {
  bool slower = false;
  for (int type = 0; type <= static_cast<int>(s.cluster.other_gpus.size()); ++type) {
    Gpu& gpu = type == 0 ? s.cluster.gpu : s.cluster.other_gpus[static_cast<std::size_t>(type) - 1];
    double highest = 0;
    for (const RankProgram& rank : s.program.ranks)
      if (s.program.machines[rank.machine].gpu_type == type)
        highest = std::max(highest, step_flops(s.program, rank, gpu).value);
    const FlopsPerSecond rate = Flops(highest) / step;
    const double more = 1 + gpu.throttle_spread * largest_of(s.plan.ranks());
    const double products = 1 + more * (gpu.throttle_products.at(rate) - 1);
    const double others = 1 + more * (gpu.throttle_clock.at(rate) - 1);
    if (products <= 1 && others <= 1) continue;
    gpu.sustained_products = 1 / products;
    gpu.sustained_clock = 1 / others;
    slower = true;
  }
  return slower;
}

namespace {

// The power limit holds the clock down by the average load of the whole step, which is known once
// the step has been simulated at full clock: then it is simulated again. Every type of GPU by its
// own busiest rank.
void throttle(Simulation& s, const Replay& replay) {
  const StepWindow window = step_window(s.lowered.graph, s.timeline, s.lowered.notes);
  if (throttle_clocks(s, (window.end - window.begin).seconds())) replay_tasks(s, replay);
}

// Simulates every trial and ends with the one nearest to their mean, which the report is of.
void try_steps(Simulation& s, Replay replay, int trials) {
  std::vector<Seconds> times;
  for (replay.trial = 0; replay.trial < trials; ++replay.trial) {
    if (replay.trial > 0) replay_tasks(s, replay);
    const StepWindow window = step_window(s.lowered.graph, s.timeline, s.lowered.notes);
    times.push_back((window.end - window.begin).seconds());
  }
  s.report.trials = summarise_trials(times);
  const Seconds mean = s.report.trials.mean;
  const auto nearest = std::min_element(times.begin(), times.end(), [&](Seconds a, Seconds b) {
    return std::abs((a - mean).value) < std::abs((b - mean).value);
  });
  replay.trial = static_cast<int>(nearest - times.begin());
  if (replay.trial + 1 < trials) replay_tasks(s, replay);
}

// Every failure of a GPU ends the job.
Goodput goodput_of(const RunReport& report, const Failures& f) {
  Goodput g;
  g.failures = {f.mean_time_between / report.gpus, f.checkpoint_time, f.restart_time};
  g.best = best_interval(g.failures);
  g.young = young_interval(g.failures);
  g.interval = f.checkpoint_interval.value > 0 ? f.checkpoint_interval : g.best;
  g.share = goodput(g.failures, g.interval);
  g.tokens_per_second = g.share * report.tokens_per_second;
  return g;
}

// In a CUDA graph nothing waits for the host: experts are one grouped product whose rows only the
// GPU knows.
void keep_off_host(Runtime& runtime) {
  runtime.groups_experts = true;
  runtime.exchanges_counts = false;
  for (auto& [name, of] : runtime.operators)
    std::erase_if(of.forward.kernels, [](const KernelTemplate& k) { return k.synchronizes; });
}

// The framework without autograd. A CUDA graph costs the host nothing for each kernel, and its
// kernels follow each other more closely.
void prepare_inference(Simulation& s, const Scenario& scenario) {
  if (s.runtime.inference.empty())
    throw UserError(scenario.mark_of("runtime"),
                    fmt::format("runtime '{}' does not say how it runs inference", s.runtime.name),
                    "pytorch-eager does");
  const Runtime inference = s.runtime.inference.front();
  s.runtime = scenario.inference.cuda_graph ? idealised(inference) : inference;
  if (!scenario.inference.cuda_graph) return;
  keep_off_host(s.runtime);
  s.cluster.gpu.kernel_gap = s.cluster.gpu.graph_kernel_gap;
  for (Gpu& gpu : s.cluster.other_gpus) gpu.kernel_gap = gpu.graph_kernel_gap;
}

// As many tasks as a graph of the program would have, at least, of two steps: no less than its
// instructions that run on a device.
std::uint64_t least_tasks(const Program& program) {
  std::vector<std::uint64_t> of_segment;
  for (const Segment& segment : program.segments)
    of_segment.push_back(static_cast<std::uint64_t>(
        std::count_if(segment.instrs.begin(), segment.instrs.end(), [](const Instr& i) {
          return std::holds_alternative<CollectiveWork>(i.what) ||
                 std::holds_alternative<Overlap>(i.what);
        })));
  std::uint64_t sum = 0;
  for (const RankProgram& rank : program.ranks) {
    std::vector<std::uint64_t> of_pass(rank.steps.passes(), 1);
    for (std::uint32_t p = 0; p < of_pass.size(); ++p)
      for (const Step& step : rank.steps.pass(p))
        if (const auto* run = std::get_if<RunSegment>(&step.work))
          of_pass[p] += of_segment[run->segment];
    for (const StepList::Call& call : rank.steps.calls()) sum += of_pass[call.pass];
  }
  return 2 * sum;
}

// Graphs beyond this take more than a few gigabytes.
constexpr std::uint64_t kGraphTasks = 4'000'000;

// Every rank on its own, without a graph: only the times of its steps are known. Everything else
// that the report says is of the folded run, which is seen to take the same time.
Simulation unfolded_by_clock(const Scenario& scenario, const SimulationOptions& options,
                             const Program& program) {
  SimulationOptions folded = options;
  folded.fold = true;
  Simulation s = simulate(scenario, folded);
  Prices prices(program, s.cluster, Clocks::kSustained);
  const std::optional<StepTimes> times =
      scenario.variation.any() ? std::nullopt : times_without_graph(program, s.cluster, {}, prices);
  if (!times)
    throw UserError(scenario.mark,
                    fmt::format("{} ranks, every one on its own, do not fit in memory where "
                                "kernels vary, or messages that are exchanged meet others: fold "
                                "them",
                                program.ranks.size()));
  // A slowed kernel's end is rounded, with others merged into it or not.
  const double rounding = clock_suffices(s.cluster) ? 0 : 1e-9;
  const double step = s.report.step_time.value, here = (times->end - times->begin).seconds().value;
  if (std::abs(here - step) > rounding * step)
    throw std::logic_error("folded and unfolded runs take different times");
  RunReport::Simulation& run = s.report.simulation;
  run.tasks = times->tasks;
  run.events = 2 * times->tasks;
  run.simulated_ranks = static_cast<int>(program.ranks.size());
  return s;
}

}  // namespace

Simulation simulate(const Scenario& scenario, const SimulationOptions& options) {
  if (scenario.task == Task::kServing) return simulate_serving(scenario, options);
  const auto begin = std::chrono::steady_clock::now();
  Simulation s;
  Diagnostics mistakes;
  s.model = mistakes.gather([&] { return read_model(scenario.model); });
  s.cluster = mistakes.gather([&] { return read_cluster(scenario.cluster); });
  s.runtime = mistakes.gather([&] { return read_runtime(scenario.runtime); });
  mistakes.throw_if_any();
  if (options.ideal) {
    s.cluster = idealised(s.cluster);
    s.runtime = idealised(s.runtime);
  }
  if (options.improve != nullptr) options.improve(s.cluster);
  if (scenario.task != Task::kTraining) prepare_inference(s, scenario);
  s.plan = resolve_plan(scenario, s.model, s.cluster, s.runtime);
  s.program = build_program(s.plan, s.model, s.cluster, s.runtime,
                            {options.fold, scenario.variation.any()});
  if (!options.fold && options.merge && least_tasks(s.program) > kGraphTasks) {
    s = unfolded_by_clock(scenario, options, s.program);
    s.report.simulation.wall_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return s;
  }
  // What the allocator reserves takes as long as all the rest.
  std::future<std::vector<RankMemory>> memory =
      std::async(std::launch::async, [&] { return memory_of_ranks(s); });
  Replay first{options.merge, scenario.variation, 0, options.merge_passes};
  replay_tasks(s, first);
  throttle(s, first);
  if (scenario.variation.any()) try_steps(s, first, options.trials);
  describe(s, scenario);
  times(s);
  report_throughput(s);
  if (scenario.failures) s.report.goodput = goodput_of(s.report, *scenario.failures);
  report_memory(s, memory.get());
  s.report.transfers = transfers_of(s);
  const Interval interval = step_interval(s);
  s.report.step_low = interval.low;
  s.report.step_high = interval.high;
  PowerMeter meter(s.program, s.cluster);
  report_economics(s, meter);
  RunReport::Simulation& run = s.report.simulation;
  run.tasks = s.lowered.graph.size();
  run.events = s.timeline.events;
  run.ranks = s.plan.ranks();
  run.simulated_ranks = static_cast<int>(s.program.ranks.size());
  run.structure_hash = fmt::format("{:016x}", structure_hash(s.lowered.graph));
  run.timing_hash = fmt::format("{:016x}", timing_hash(s.lowered.graph, s.timeline));
  run.wall_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return s;
}

}  // namespace rehearse
