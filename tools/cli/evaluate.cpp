#include "tools/cli/evaluate.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "models/fine_tuning.hpp"
#include "strategies/build_program.hpp"
#include "strategies/plan_bound.hpp"
#include "strategies/priced_segment.hpp"
#include "strategies/step_clock.hpp"
#include "strategies/step_replay.hpp"
#include "tools/cli/memory_report.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

// Plans of one model on one cluster under one runtime that need the same segments.
struct Sharding {
  Sharding(const ResolvedPlan& plan, const Model& model, const Cluster& cluster,
           const Runtime& runtime, CommGroups& groups, ScheduleOutlines& outlines)
      : simulation{model, cluster, runtime, plan, {}, {}, {}, {}},
        writer(simulation.program, plan, simulation.model, simulation.cluster, simulation.runtime,
               groups),
        prices(simulation.program, simulation.cluster, Clocks::kSustained),
        meter(simulation.program, simulation.cluster),
        bounds(simulation.model, simulation.runtime, writer.segments(), simulation.program, prices,
               outlines) {
    const FineTuning& tuned = plan.training.fine_tuning;
    simulation.report.parameters = parameter_count(model, tuned);
    simulation.report.trainable_parameters = trainable_parameter_count(model, tuned);
    simulation.report.gpus = cluster.gpus();
  }

  Simulation simulation;
  ProgramWriter writer;
  Prices prices;
  PowerMeter meter;
  PlanBounds bounds;
};

struct Setting {
  explicit Setting(const Scenario& s)
      : model_tree(s.model),
        cluster_tree(s.cluster),
        runtime_tree(s.runtime),
        model(read_model(s.model)),
        cluster(read_cluster(s.cluster)),
        runtime(read_runtime(s.runtime)),
        groups(cluster, model) {}

  Value model_tree, cluster_tree, runtime_tree;
  Model model;
  Cluster cluster;
  Runtime runtime;
  CommGroups groups;
  ScheduleOutlines outlines;
  std::unordered_multimap<std::size_t, std::unique_ptr<Sharding>> shardings;  // by their hash
  std::deque<std::size_t> oldest;                                             // their hashes
};

// A sweep over clusters has no end of them, and a search has thousands of shapes: the oldest go.
constexpr std::size_t kMostSettings = 32, kMostShardings = 512;

bool same(const Value& a, const Value& b) {
  if (a.is_map() && b.is_map() && a.identity() == b.identity()) return true;
  return canonical_text(a) == canonical_text(b);
}

}  // namespace

struct EvaluationCache::State {
  std::vector<std::unique_ptr<Setting>> settings;

  Setting& setting(const Scenario& s) {
    for (const auto& known : settings)
      if (known->model_tree.identity() == s.model.identity() &&
          known->cluster_tree.identity() == s.cluster.identity() &&
          known->runtime_tree.identity() == s.runtime.identity())
        return *known;
    for (const auto& known : settings)
      if (same(known->model_tree, s.model) && same(known->cluster_tree, s.cluster) &&
          same(known->runtime_tree, s.runtime)) {
        known->model_tree = s.model;
        known->cluster_tree = s.cluster;
        known->runtime_tree = s.runtime;
        return *known;
      }
    if (settings.size() == kMostSettings) settings.erase(settings.begin());
    settings.push_back(std::make_unique<Setting>(s));
    return *settings.back();
  }
};

namespace {

// Evaluations take and give back the same megabytes again and again: the process keeps them.
void keep_freed_memory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

}  // namespace

EvaluationCache::EvaluationCache() : state_(std::make_unique<State>()) { keep_freed_memory(); }
EvaluationCache::~EvaluationCache() = default;
EvaluationCache::EvaluationCache(EvaluationCache&&) noexcept = default;
EvaluationCache& EvaluationCache::operator=(EvaluationCache&&) noexcept = default;

namespace {

Sharding& sharding(Setting& setting, const ResolvedPlan& plan) {
  const std::size_t hash = ProgramWriter::hash(plan);
  const auto [begin, end] = setting.shardings.equal_range(hash);
  for (auto known = begin; known != end; ++known)
    if (known->second->writer.writes(plan)) return *known->second;
  if (setting.shardings.size() == kMostShardings) {
    setting.shardings.erase(setting.shardings.find(setting.oldest.front()));
    setting.oldest.pop_front();
  }
  setting.oldest.push_back(hash);
  return *setting.shardings
              .emplace(hash, std::make_unique<Sharding>(plan, setting.model, setting.cluster,
                                                        setting.runtime, setting.groups,
                                                        setting.outlines))
              ->second;
}

Seconds length(const StepTimes& t) { return (t.end - t.begin).seconds(); }

Seconds replayed(Simulation& s, const Cluster& full_clock) {
  s.cluster = full_clock;
  Seconds step = length(replayed_step_times(s.program, s.cluster));
  if (throttle_clocks(s, step)) step = length(replayed_step_times(s.program, s.cluster));
  s.cluster = full_clock;
  return step;
}

// The step time alone.
Seconds step_time(Sharding& of, const Cluster& full_clock) {
  Simulation& s = of.simulation;
  of.prices.update();
  std::optional<StepTimes> step = times_without_graph(s.program, s.cluster, {}, of.prices);
  if (!step) return replayed(s, full_clock);
  if (!throttle_clocks(s, length(*step))) return length(*step);
  Prices slower(s.program, s.cluster, Clocks::kSustained);
  step = times_without_graph(s.program, s.cluster, {}, slower);
  s.cluster = full_clock;
  return step ? length(*step) : replayed(s, full_clock);
}

Evaluation numbers_of(const RunReport& r) {
  Evaluation e;
  e.step_time = r.step_time;
  e.tokens_per_second = r.tokens_per_second;
  e.tokens_per_second_per_gpu = r.tokens_per_second_per_gpu;
  e.model_tflops_per_gpu = r.model_tflops_per_gpu;
  e.mfu = r.mfu;
  e.mfu_causal = r.mfu_causal;
  e.hfu = r.hfu;
  e.parameters = r.parameters;
  e.tokens_per_step = r.tokens_per_step;
  e.gpus = r.gpus;
  e.fits = r.fits;
  e.peak_memory = r.peak_memory;
  e.peak_reserved = r.peak_reserved;
  e.memory_capacity = r.memory_capacity;
  e.memory_overhead = r.memory_overhead;
  e.economics = r.economics;
  return e;
}

// The plan's program, of as many ranks as differ.
Sharding& written(const Scenario& scenario, Setting& setting) {
  const ResolvedPlan plan = resolve_plan(scenario, setting.model, setting.cluster, setting.runtime);
  Sharding& of = sharding(setting, plan);
  of.simulation.plan = plan;
  of.writer.write(plan, {true, false});
  return of;
}

}  // namespace

Evaluation evaluate(const Scenario& scenario, EvaluationCache& cache,
                    const EvaluationOptions& options) {
  // Several trials, and other tasks than training, share nothing that is kept here.
  if (scenario.variation.any() || scenario.task != Task::kTraining)
    return numbers_of(simulate(scenario).report);
  Setting& setting = cache.state().setting(scenario);
  Sharding& of = written(scenario, setting);
  Simulation& s = of.simulation;
  s.report.step_time = step_time(of, setting.cluster);
  report_throughput(s);
  report_economics(s, of.meter);
  bool reserved = options.reserved;
  if (!reserved || options.reserved_of) report_memory(s, memory_of_ranks(s, false));
  if (options.reserved_of) reserved = options.reserved_of(numbers_of(s.report));
  if (reserved) report_memory(s, memory_of_ranks(s));
  s.program.ranks.clear();  // large, and of no use to the next plan
  return numbers_of(s.report);
}

EvaluationBound bound(const Scenario& scenario, EvaluationCache& cache) {
  if (scenario.task == Task::kServing) return {};
  Setting& setting = cache.state().setting(scenario);
  const ResolvedPlan plan = resolve_plan(scenario, setting.model, setting.cluster, setting.runtime);
  // Of GPUs that differ and kernels that vary nothing is known beforehand.
  if (scenario.variation.any() || !setting.cluster.deviations.empty()) return {};
  Sharding& of = sharding(setting, plan);
  of.writer.write_groups(plan);
  const PlanBound b = of.bounds.of(plan);
  const Gpu& gpu = setting.cluster.gpu;
  return {b.step_time.seconds(), b.memory, b.memory + gpu.context_memory <= gpu.usable_memory};
}

EvaluationBound closer_bound(const Scenario& scenario, EvaluationCache& cache) {
  EvaluationBound out = bound(scenario, cache);
  if (scenario.variation.any() || scenario.task != Task::kTraining) return out;
  Setting& setting = cache.state().setting(scenario);
  Sharding& of = written(scenario, setting);
  Simulation& s = of.simulation;
  // Nor does work that slows other work make a step shorter.
  if (clock_knows(s.program)) {
    of.prices.update();
    out.step_time =
        max(out.step_time, length(unhindered_step_times(s.program, s.cluster, {}, of.prices)));
  }
  report_memory(s, memory_of_ranks(s, false));
  s.program.ranks.clear();
  out.memory = max(out.memory, s.report.peak_memory);
  out.may_fit = out.may_fit && s.report.fits;
  return out;
}

}  // namespace rehearse
