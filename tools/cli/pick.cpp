#include "tools/cli/pick.hpp"

#include <fmt/format.h>

#include <utility>

#include "hardware/cluster.hpp"
#include "models/model.hpp"
#include "sim/base/error.hpp"
#include "sim/base/suggest.hpp"
#include "sim/config/catalog.hpp"

namespace rehearse {

Scenario pick_scenario(std::vector<Scenario> all, const std::string& plan) {
  std::vector<std::string> names;
  for (const Scenario& s : all) names.push_back(s.plan_name);
  if (plan.empty()) {
    if (all.size() == 1) return std::move(all.front());
    throw UserError(all.front().mark,
                    fmt::format("the scenario has {} plans ({}); choose one with --plan, or use "
                                "'rehearse compare'",
                                all.size(), fmt::join(names, ", ")));
  }
  for (Scenario& s : all)
    if (s.plan_name == plan) return std::move(s);
  throw UserError(all.front().mark, fmt::format("no plan '{}' in the scenario", plan),
                  suggestion(plan, names));
}

std::vector<Scenario> load(const std::string& path_or_name,
                           const std::vector<std::string>& overrides) {
  try {
    return load_scenarios(path_or_name, overrides);
  } catch (const UserError&) {
    return load_scenarios(path_or_name, overrides, [](const std::string& kind, const Value& field) {
      Value tree = resolve(kind, field);
      if (kind == "models") read_model(tree);
      if (kind == "clusters") read_cluster(tree);
      return tree;
    });
  }
}

}  // namespace rehearse
