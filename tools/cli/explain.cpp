// `rehearse explain`: where a number of a scenario comes from; what a cluster's network is.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "hardware/topology.hpp"
#include "sim/base/error.hpp"
#include "sim/config/catalog.hpp"
#include "sim/config/scenario.hpp"
#include "tools/cli/command.hpp"
#include "tools/cli/explain/cluster.hpp"
#include "tools/cli/explain/scenario.hpp"
#include "tools/cli/pick.hpp"

namespace rehearse {
namespace {

struct Options {
  std::string subject, what, plan;
  std::vector<std::string> overrides;
  bool dot = false;
};

// A name of the catalog, or a file that says which GPU it has.
bool names_cluster(const std::string& subject) {
  if (!is_path(subject)) {
    const std::vector<std::string> names = catalog_names("clusters");
    return std::find(names.begin(), names.end(), subject) != names.end();
  }
  return parse_file(subject).find("gpus_per_node") != nullptr;
}

int explain_cluster_of(const Options& o) {
  Value root = Value::map({{"cluster", Value::scalar(o.subject)}});
  for (const std::string& text : o.overrides) {
    auto [key, value] = parse_override(text);
    set_override(root, "cluster." + key, std::move(value));
  }
  const Cluster cluster = read_cluster(resolve("clusters", *root.find("cluster")));
  std::fputs((o.dot ? topology_dot(cluster) : explain_cluster(cluster)).c_str(), stdout);
  return kExitDone;
}

int explain(const Options& o) {
  if (o.what.empty() && o.plan.empty() && names_cluster(o.subject)) return explain_cluster_of(o);
  if (o.dot) throw UserError({}, "--dot draws clusters");
  const Scenario scenario = pick_scenario(load(o.subject, o.overrides), o.plan);
  const std::string what = o.what.empty() ? "step_time" : o.what;
  std::fputs(explain_scenario(scenario, what).c_str(), stdout);
  return kExitDone;
}

std::string footer() {
  std::string out = "WHAT, of a scenario, is one of\n";
  for (const Explanation& e : explanations()) out += fmt::format("  {:<16}{}\n", e.what, e.summary);
  return out + "or an operator of the model: qkv, attention, up, down, ...\n";
}

}  // namespace

void setup_explain(CLI::App& sub, std::function<int()>& action) {
  auto o = std::make_shared<Options>();
  sub.add_option("subject", o->subject,
                 "a scenario or a cluster: a file, or a name in configs/scenarios or clusters")
      ->required();
  sub.add_option("what", o->what, "the number of a scenario to explain (default: step_time)");
  sub.add_option("--plan", o->plan, "the plan, where the scenario has several");
  sub.add_option("--set", o->overrides, "key=value: sets any value, of a cluster e.g. nodes=4")
      ->allow_extra_args(false);
  sub.add_flag("--dot", o->dot, "draws the cluster for Graphviz instead");
  sub.footer(footer);
  action = [o] { return explain(*o); };
}

}  // namespace rehearse
