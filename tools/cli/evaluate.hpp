#pragma once

#include <functional>
#include <memory>

#include "sim/config/scenario.hpp"
#include "sim/report/economics.hpp"

namespace rehearse {

// What a sweep or a search needs to know of one plan; the same numbers as `run` prints.
struct Evaluation {
  Seconds step_time{0};
  double tokens_per_second = 0, tokens_per_second_per_gpu = 0;
  double model_tflops_per_gpu = 0, mfu = 0, mfu_causal = 0, hfu = 0;
  std::int64_t parameters = 0;
  std::int64_t tokens_per_step = 0;
  int gpus = 0;
  bool fits = true;
  Bytes peak_memory{0}, peak_reserved{0}, memory_capacity{0}, memory_overhead{0};
  Economics economics;  // what a GPU draws, and the cluster's price
};

// What no plan can beat, found without simulating it.
struct EvaluationBound {
  Seconds step_time{0};  // never more than Evaluation::step_time
  Bytes memory{0};       // never more than Evaluation::peak_reserved
  bool may_fit = true;   // false: it does not fit
};

// What evaluations share: models, clusters, graphs and prices, each computed once per distinct key.
// Its size grows with the number of distinct models, clusters and shapes, not with the number of
// evaluations. Not for several threads at once: one each.
class EvaluationCache {
 public:
  EvaluationCache();
  ~EvaluationCache();
  EvaluationCache(EvaluationCache&&) noexcept;
  EvaluationCache& operator=(EvaluationCache&&) noexcept;

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

struct EvaluationOptions {
  // Whether to find out what the allocator reserves, which takes longer than everything else.
  // Without, peak_reserved is peak_memory, which it is at least, and `fits` errs that way.
  bool reserved = true;
  // Where it is given, it decides, with what is known without.
  std::function<bool(const Evaluation&)> reserved_of = {};
};

// All throw UserError where the plan is not possible (resolve_plan).
Evaluation evaluate(const Scenario& scenario, EvaluationCache& cache,
                    const EvaluationOptions& options = {});
EvaluationBound bound(const Scenario& scenario, EvaluationCache& cache);
// A closer one that takes longer: the step as if nothing slowed anything else and the power limit
// did not bind, and what is allocated.
EvaluationBound closer_bound(const Scenario& scenario, EvaluationCache& cache);

}  // namespace rehearse
