// `rehearse explain`: where a number comes from.

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "sim/config/scenario.hpp"
#include "tools/cli/command.hpp"
#include "tools/cli/explain/scenario.hpp"
#include "tools/cli/pick.hpp"

namespace rehearse {
namespace {

struct Options {
  std::string subject, what = "step_time", plan;
  std::vector<std::string> overrides;
};

int explain(const Options& o) {
  const Scenario scenario = pick_scenario(load_scenarios(o.subject, o.overrides), o.plan);
  std::fputs(explain_scenario(scenario, o.what).c_str(), stdout);
  return kExitDone;
}

std::string footer() {
  std::string out = "WHAT is one of\n";
  for (const Explanation& e : explanations())
    out += fmt::format("  {:<16}{}\n", e.what, e.summary);
  return out + "or an operator of the model: qkv, attention, up, down, ...\n";
}

}  // namespace

void setup_explain(CLI::App& sub, std::function<int()>& action) {
  auto o = std::make_shared<Options>();
  sub.add_option("scenario", o->subject, "a scenario file, or a name in configs/scenarios")
      ->required();
  sub.add_option("what", o->what, "the number to explain (default: step_time)");
  sub.add_option("--plan", o->plan, "the plan, where the scenario has several");
  sub.add_option("--set", o->overrides, "key=value: sets any value")->allow_extra_args(false);
  sub.footer(footer);
  action = [o] { return explain(*o); };
}

}  // namespace rehearse
