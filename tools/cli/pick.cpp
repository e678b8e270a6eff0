#include "tools/cli/pick.hpp"

#include <fmt/format.h>

#include <utility>

#include "sim/base/error.hpp"
#include "sim/base/suggest.hpp"

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

}  // namespace rehearse
