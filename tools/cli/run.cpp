#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/report/run_report.hpp"
#include "tools/cli/command.hpp"
#include "tools/cli/dump.hpp"
#include "tools/cli/economics_options.hpp"
#include "tools/cli/pick.hpp"
#include "tools/cli/report_page.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

struct Options {
  std::string scenario, plan, json, trace, report, dump;
  std::vector<std::string> overrides;
  bool ideal = false, no_fold = false;
  int trials = 1;
  EconomicsOptions economics;
};

// A graph of more tasks than this is drawn with merged ones: nobody can look at so many kernels.
constexpr std::uint64_t kMostKernelTasks = 3'000'000;

std::uint64_t kernel_tasks(const Program& program) {
  std::uint64_t count = 0;
  for (const RankProgram& rank : program.ranks)
    for (const Step& step : rank.steps) {
      const auto* run = std::get_if<RunSegment>(&step.work);
      count += run ? program.segments[run->segment].instrs.size() : 1;
    }
  return count;
}

// The trace and the page show single kernels, where `s` has merged them.
void write_details(const Options& o, const Scenario& scenario, const Simulation& s,
                   SimulationOptions options) {
  const bool page_of_kernels = !o.report.empty() && kernel_tasks(s.program) <= kMostKernelTasks;
  options.merge = false;
  const bool again = !o.trace.empty() || page_of_kernels;
  Simulation kernels;
  if (again) kernels = simulate(scenario, options);
  kernels.report = s.report;  // one set of numbers, whichever way they are shown
  if (!o.trace.empty())
    write_output(o.trace,
                 chrome_trace(kernels.lowered.graph, kernels.timeline, kernels.lowered.notes));
  if (!o.report.empty()) write_output(o.report, report_page(page_of_kernels ? kernels : s));
}

int run(const Options& o) {
  const Scenario scenario = pick_scenario(load(o.scenario, o.overrides), o.plan);
  for (const std::string& path : {o.json, o.trace, o.report})
    if (!path.empty()) check_output(path);
  SimulationOptions options;
  options.ideal = o.ideal;
  options.fold = !o.no_fold;
  options.trials = o.trials;
  if (o.trials > 1 && !scenario.variation.any())
    throw UserError(scenario.mark, "every trial would be the same: the scenario varies nothing",
                    "variation: {kernel_jitter: 0.02}");
  o.economics.training_tokens();  // throws where it is no number
  Simulation s = simulate(scenario, options);
  o.economics.apply(s.report);
  if (!o.dump.empty()) {
    std::fputs(dump_stage(o.dump, scenario, s).c_str(), stdout);
    return kExitDone;
  }
  if (!o.trace.empty() || !o.report.empty()) write_details(o, scenario, s, options);
  if (!o.json.empty()) write_output(o.json, run_json(s.report) + "\n");
  if (o.json != "-" && o.trace != "-") std::fputs(run_text(s.report).c_str(), stdout);
  return kExitDone;
}

}  // namespace

void setup_run(CLI::App& sub, std::function<int()>& action) {
  auto o = std::make_shared<Options>();
  sub.add_option("scenario", o->scenario, "a scenario file, or a name in configs/scenarios")
      ->required();
  sub.add_option("--plan", o->plan, "the plan to run, where the scenario has several");
  sub.add_option("--set", o->overrides, "key=value: sets any value, e.g. plan.tensor_parallel=4")
      ->allow_extra_args(false);
  o->economics.add_to(sub);
  sub.add_option("--json", o->json, "writes the report as JSON ('-' is stdout)");
  sub.add_option("--trace", o->trace, "writes a Chrome trace (gzip when it ends in .gz)");
  sub.add_option("--report", o->report, "writes one HTML page to look at, without network");
  sub.add_option("--dump", o->dump,
                 "prints one stage instead: " + fmt::format("{}", fmt::join(dump_stages(), ", ")));
  sub.add_option("--trials", o->trials, "steps to simulate of a scenario that varies at random")
      ->check(CLI::Range(1, 100000));
  sub.add_flag("--ideal", o->ideal, "efficiency 1, no host and no fixed cost");
  sub.add_flag("--no-fold", o->no_fold, "simulates every rank on its own");
  action = [o] { return run(*o); };
}

}  // namespace rehearse
