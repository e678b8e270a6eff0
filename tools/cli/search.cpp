#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/report/writers/writers.hpp"
#include "tools/cli/command.hpp"
#include "tools/cli/pick.hpp"
#include "tools/cli/search/report.hpp"
#include "tools/cli/simulation.hpp"
#include "tools/cli/sweep/interrupt.hpp"
#include "tools/cli/sweep/progress.hpp"

namespace rehearse {
namespace {

struct Options {
  std::string scenario, plan, objective = "time", json;
  std::vector<std::string> overrides, over;
  int max_gpus = 0, top = 5, jobs = 0;
  bool exhaustive = false, no_front = false;
};

// Both plans again, with all that a report has, to say what makes the difference.
std::string runner_up(const SearchSpace& space, const SearchResult& result) {
  if (result.best.size() < 2) return {};
  const auto report = [&](std::size_t i) {
    return simulate(space.scenario(space.choices()[result.best[i].index])).report;
  };
  return difference_text(report(0), report(1));
}

int run_search(const Options& o) {
  const Scenario base = pick_scenario(load(o.scenario, o.overrides), o.plan);
  const Objective& objective = find_objective(o.objective);
  if (!o.json.empty()) check_output(o.json);
  const SearchSpace space(base, o.max_gpus, o.over);
  if (objective.name == "energy" && space.sizes().front().least.power.value <= 0)
    throw UserError({}, "--objective energy: the cluster's GPU has no power model",
                    "its file's 'power' says it");
  SearchOptions options;
  options.top = static_cast<std::size_t>(o.top);
  options.jobs =
      o.jobs > 0 ? o.jobs : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  options.exhaustive = o.exhaustive;
  options.front = !o.no_front;
  const Interrupt interrupt;
  options.stop = [] { return Interrupt::signal() != 0; };
  std::optional<Progress> progress;
  std::uint64_t phase = 0;
  options.progress = [&](std::uint64_t done, std::uint64_t all) {
    if (all != phase) progress.emplace(phase = all, 0);  // first bounds, then simulations
    progress->show(done, done);
  };
  const SearchResult result = search(space, objective, options);
  progress.reset();
  const SearchReport report{o.scenario, o.plan,  &space,
                            &objective, &result, runner_up(space, result)};
  if (!o.json.empty()) write_output(o.json, search_json(report));
  if (o.json != "-") std::fputs(search_text(report).c_str(), stdout);
  return result.stopped ? 128 + Interrupt::signal() : kExitDone;
}

}  // namespace

void setup_search(CLI::App& sub, std::function<int()>& action) {
  auto o = std::make_shared<Options>();
  std::vector<std::string> names;
  for (const Objective& objective : objectives()) names.emplace_back(objective.name);
  sub.add_option("scenario", o->scenario, "a scenario file, or a name in configs/scenarios")
      ->required();
  sub.add_option("--plan", o->plan, "the plan to begin with, where the scenario has several");
  sub.add_option("--objective", o->objective,
                 fmt::format("what to make small: {}", fmt::join(names, ", ")));
  sub.add_option("--max-gpus", o->max_gpus, "any number of the cluster's GPUs up to this")
      ->check(CLI::Range(1, 1 << 24));
  sub.add_option("--top", o->top, "how many of the best to show (default 5)")
      ->check(CLI::Range(1, 1000));
  sub.add_option("--over", o->over,
                 "key=a,b,c: these values instead of all, e.g. plan.schedule=1f1b")
      ->allow_extra_args(false);
  sub.add_option("--set", o->overrides, "key=value: sets any value of the scenario")
      ->allow_extra_args(false);
  sub.add_option("--jobs", o->jobs, "plans simulated at once (default: one a core)")
      ->check(CLI::Range(1, 1024));
  sub.add_flag("--exhaustive", o->exhaustive, "simulates every plan that can be; same answer");
  sub.add_flag("--no-front", o->no_front, "only the best, not the front of time and memory");
  sub.add_option("--json", o->json, "writes the result as JSON ('-' is stdout)");
  action = [o] { return run_search(*o); };
}

}  // namespace rehearse
