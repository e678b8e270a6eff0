#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/base/quantity.hpp"
#include "sim/engine/annotations.hpp"
#include "sim/engine/replay.hpp"
#include "sim/report/breakdown.hpp"
#include "sim/report/critical_path.hpp"
#include "sim/report/economics.hpp"
#include "sim/report/goodput.hpp"
#include "sim/report/memory_timeline.hpp"
#include "sim/report/trials.hpp"
#include "sim/report/utilisation.hpp"
#include "sim/report/writers/writers.hpp"

namespace rehearse {

struct StageReport {
  int pipeline_stage = 0;
  Bytes peak_memory{0};
  Bytes peak_reserved{0};
  std::array<Bytes, kMemoryCategories> at_peak{};  // by MemoryCategory, at the peak
};

// What rests on constants that were not measured on the machine that is simulated.
struct CarriedOver {
  std::string what, source;
  double share = 0;  // of the step; 0: not told apart
};

// How requests that share a model fare; seconds.
struct Spread {
  double mean = 0, p50 = 0, p95 = 0, p99 = 0;
};
struct ServingReport {
  std::int64_t requests = 0, preemptions = 0, steps = 0;
  Spread first_token, per_output_token;
  double duration = 0, tokens_per_second = 0;
  double occupied = 1;  // of the sequences that decoding steps compute, those that want a token
  double batch = 0, context = 0;  // of a decoding step, mean: the step that the report shows
};

// Everything that `run` says about one plan: the fields of the JSON that users read.
struct RunReport {
  std::string scenario;  // name, with the plan's after a '/'
  std::string plan_name;
  std::string model, cluster, gpu, runtime, precision;
  std::string plan_text;  // "dp 4", "tp 2 pp 2 1f1b", ...
  // What plans differ in, as people write it: {"TP", "8"}, {"recompute", "full"}, ...
  std::vector<std::pair<std::string, std::string>> settings;
  std::string task = "training";
  std::int64_t parameters = 0, trainable_parameters = 0;
  int gpus = 0;
  std::int64_t tokens_per_step = 0;
  Seconds step_time{0};
  Seconds step_low{0}, step_high{0};  // nine of ten measured steps should lie between
  double tokens_per_second = 0, tokens_per_second_per_gpu = 0;
  double model_tflops_per_gpu = 0, mfu = 0, mfu_causal = 0, hfu = 0;
  double utilisation = 0;  // of the step, in which a GPU computes; mean over ranks
  bool fits = true;
  Bytes peak_memory{0}, peak_reserved{0}, memory_capacity{0};
  Bytes kv_cache_peak{0};    // of inference: a rank's keys and values
  Bytes memory_overhead{0};  // CUDA context and communication buffers
  std::vector<StageReport> stages;
  Economics economics;
  Breakdown breakdown;
  std::vector<CommunicationRow> communication;
  std::vector<CarriedOver> transfers;
  // Largest contributors to a peak that does not fit and what would help, ready to print.
  std::vector<std::string> memory_advice;
  Trials trials;                   // without step times: nothing varies
  std::optional<Goodput> goodput;  // where failures are given
  std::optional<ServingReport> serving;
  struct Simulation {
    std::uint64_t tasks = 0, events = 0;
    double wall_s = 0;
    int ranks = 0, simulated_ranks = 0;
    std::string structure_hash, timing_hash;
  } simulation;
};

}  // namespace rehearse
