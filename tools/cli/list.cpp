#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "hardware/collectives/algorithm.hpp"
#include "models/families.hpp"
#include "sim/base/error.hpp"
#include "sim/base/suggest.hpp"
#include "sim/config/catalog.hpp"
#include "sim/report/run_report.hpp"
#include "strategies/context/context_parallel.hpp"
#include "strategies/data/data_parallel.hpp"
#include "strategies/schedules/schedule.hpp"
#include "tools/cli/command.hpp"

namespace rehearse {
namespace {

using Rows = std::vector<std::pair<std::string, std::string>>;

template <class Registry>
Rows rows_of(const Registry& registry) {
  Rows out;
  for (const auto& entry : registry) out.emplace_back(entry.name, entry.summary);
  return out;
}

Rows files_of(const std::string& kind) {
  Rows out;
  for (const std::string& name : catalog_names(kind)) out.emplace_back(name, "");
  return out;
}

struct Kind {
  const char* name;
  Rows (*rows)();
};

const Kind kKinds[] = {
    {"models", [] { return files_of("models"); }},
    {"gpus", [] { return files_of("gpus"); }},
    {"clusters", [] { return files_of("clusters"); }},
    {"runtimes", [] { return files_of("runtimes"); }},
    {"scenarios", [] { return files_of("scenarios"); }},
    {"sweeps", [] { return files_of("sweeps"); }},
    {"schedules", [] { return rows_of(schedules()); }},
    {"strategies", [] { return rows_of(data_strategies()); }},
    {"context-methods", [] { return rows_of(context_methods()); }},
    {"collectives", [] { return rows_of(collective_algorithms()); }},
    {"families", [] { return rows_of(model_families()); }},
    {"formats", [] { return rows_of(report_formats()); }},
    {"commands", [] { return rows_of(commands()); }},
};

int list(const std::string& kind) {
  std::vector<std::string> names;
  for (const Kind& k : kKinds) {
    names.emplace_back(k.name);
    if (kind != k.name) continue;
    for (const auto& [name, summary] : k.rows())
      std::fputs(
          (summary.empty() ? name + "\n" : fmt::format("{:<24} {}\n", name, summary)).c_str(),
          stdout);
    return kExitDone;
  }
  throw UserError({}, fmt::format("no kind '{}' to list", kind), suggestion(kind, names));
}

}  // namespace

void setup_list(CLI::App& sub, std::function<int()>& action) {
  auto kind = std::make_shared<std::string>();
  std::vector<std::string> names;
  for (const Kind& k : kKinds) names.emplace_back(k.name);
  sub.add_option("kind", *kind, fmt::format("what to list: {}", fmt::join(names, ", ")))
      ->required();
  action = [kind] { return list(*kind); };
}

}  // namespace rehearse
