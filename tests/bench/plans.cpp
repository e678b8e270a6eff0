// Plans a second on one core: GPT-3 175B on 512 GPUs, as a search draws them.

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <vector>

#include "sim/base/error.hpp"
#include "tests/bench/report.hpp"
#include "tools/cli/evaluate.hpp"
#include "tools/cli/search/space.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse::bench {
namespace {

constexpr const char* kBase =
    "model: gpt3-175b\n"
    "cluster: {name: dgx-a100, nodes: 64}\n"
    "runtime: megatron\n"
    "training: {sequence_length: 2048, micro_batch_size: 1, global_batch_size: 1536, "
    "precision: mixed}\n"
    "plan: {sequence_parallel: true, zero_stage: 1}\n";

// A part of the choices, spread evenly: the same each time.
std::vector<Scenario> drawn(const SearchSpace& space, std::size_t count) {
  std::vector<Scenario> out;
  const std::size_t all = space.choices().size();
  for (std::size_t i = 0; i < count; ++i)
    out.push_back(space.scenario(space.choices()[i * all / count]));
  return out;
}

std::vector<Scenario> those_that_may_fit(const std::vector<Scenario>& plans) {
  EvaluationCache cache;
  std::vector<Scenario> out;
  for (const Scenario& s : plans) {
    try {
      if (bound(s, cache).may_fit) out.push_back(s);
    } catch (const UserError&) {
      continue;  // its parts do not go together
    }
  }
  return out;
}

struct Rate {
  const char* name;
  std::size_t plans = 0;
  double seconds = 0, baseline_seconds = 0;  // each for its plans
  std::size_t baseline_plans = 0;

  double per_s() const { return static_cast<double>(plans) / seconds; }
  double baseline_per_s() const { return static_cast<double>(baseline_plans) / baseline_seconds; }
};

}  // namespace

Report bench_plans(const Options& options) {
  const Scenario base = read_scenarios(parse_text(kBase, "plans"), "plans").front();
  const std::vector<Scenario> many = drawn(SearchSpace(base, 0, {}), 8192);
  Report report;

  // Rejected or bounded.
  Rate bounded{"bound"};
  bounded.plans = many.size();
  bounded.seconds = median_seconds(options.runs, [&] { those_that_may_fit(many); });

  // Simulated: time, what is allocated, and power. Without FSDP, as Megatron is run.
  const std::vector<Scenario> may_fit = those_that_may_fit(drawn(
      SearchSpace(base, 0, {"plan.zero_stage=0,1", "plan.schedule=1f1b,interleaved-1f1b"}), 512));
  Rate simulated{"evaluate"};
  simulated.plans = may_fit.size();
  std::vector<Evaluation> found;
  EvaluationCache shared;
  simulated.seconds = median_seconds(options.runs, [&] {
    EvaluationCache cache;
    found.clear();
    for (const Scenario& s : may_fit) found.push_back(evaluate(s, cache, {.reserved = false}));
  });

  // Some of them with what the allocator reserves, and the plain way: as `run` does it.
  constexpr std::size_t kEach = 16;
  Rate reserved{"evaluate, with reserved memory"};
  for (std::size_t i = 0; i < may_fit.size(); i += kEach) ++reserved.plans;
  std::vector<Evaluation> all;
  reserved.seconds = median_seconds(1, [&] {
    for (std::size_t i = 0; i < may_fit.size(); i += kEach)
      all.push_back(evaluate(may_fit[i], shared));
  });
  const double plain = median_seconds(1, [&] {
    for (std::size_t i = 0; i < may_fit.size(); i += kEach) {
      const RunReport run = simulate(may_fit[i]).report;
      report.agree &= run.step_time.value == found[i].step_time.value &&
                      run.peak_memory == found[i].peak_memory &&
                      run.peak_reserved == all[i / kEach].peak_reserved;
    }
  });
  for (Rate* r : {&bounded, &simulated, &reserved}) {
    r->baseline_plans = reserved.plans;
    r->baseline_seconds = plain;
  }

  report.table = fmt::format("{:<32} {:>10} {:>9} {:>14} {:>14}\n", "gpt3-175b on 512 GPUs",
                             "plans", "seconds", "plans/s", "as run does");
  report.json = nlohmann::ordered_json::array();
  for (const Rate& r : {bounded, simulated, reserved}) {
    report.table += fmt::format("{:<32} {:>10} {:>9.3f} {:>14.0f} {:>14.1f}\n", r.name, r.plans,
                                r.seconds, r.per_s(), r.baseline_per_s());
    report.json.push_back({{"name", r.name},
                           {"plans", r.plans},
                           {"seconds", r.seconds},
                           {"plans_per_s", r.per_s()},
                           {"baseline_plans_per_s", r.baseline_per_s()}});
  }
  return report;
}

}  // namespace rehearse::bench
