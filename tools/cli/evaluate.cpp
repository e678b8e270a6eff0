#include "tools/cli/evaluate.hpp"

#include "tools/cli/simulation.hpp"

namespace rehearse {

struct EvaluationCache::State {};

EvaluationCache::EvaluationCache() : state_(std::make_unique<State>()) {}
EvaluationCache::~EvaluationCache() = default;
EvaluationCache::EvaluationCache(EvaluationCache&&) noexcept = default;
EvaluationCache& EvaluationCache::operator=(EvaluationCache&&) noexcept = default;

Evaluation evaluate(const Scenario& scenario, EvaluationCache&) {
  const RunReport r = simulate(scenario).report;
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
  return e;
}

// No step is faster than no time: pruning by it is safe, if useless.
EvaluationBound bound(const Scenario& scenario, EvaluationCache&) {
  const Model model = read_model(scenario.model);
  const Cluster cluster = read_cluster(scenario.cluster);
  const Runtime runtime = read_runtime(scenario.runtime);
  resolve_plan(scenario, model, cluster, runtime);
  return {};
}

}  // namespace rehearse
