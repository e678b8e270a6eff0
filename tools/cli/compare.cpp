#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/report/run_report.hpp"
#include "sim/report/writers/page.hpp"
#include "tools/cli/command.hpp"
#include "tools/cli/economics_options.hpp"
#include "tools/cli/pick.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

struct Options {
  std::vector<std::string> scenarios, overrides, vary;
  std::string plan, json, report;
  bool ideal = false;
  EconomicsOptions economics;
};

struct Axis {
  std::string key;
  std::vector<std::string> values;
};

// Commas separate values except inside brackets: cluster={name: dgx-h100, nodes: 2},h200-4.
Axis parse_axis(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    throw UserError({}, fmt::format("--vary '{}' is not of the form key=a,b,c", text));
  Axis axis{text.substr(0, equals), {""}};
  int depth = 0;
  for (std::size_t i = equals + 1; i < text.size(); ++i) {
    const char c = text[i];
    depth += (c == '{' || c == '[') - (c == '}' || c == ']');
    if (c == ',' && depth == 0)
      axis.values.emplace_back();
    else
      axis.values.back() += c;
  }
  return axis;
}

// Every combination of the axes as lists of overrides, with a name each.
std::vector<std::pair<std::string, std::vector<std::string>>> combinations(
    const std::vector<std::string>& vary) {
  std::vector<std::pair<std::string, std::vector<std::string>>> out{{"", {}}};
  for (const std::string& text : vary) {
    const Axis axis = parse_axis(text);
    const std::string leaf = axis.key.substr(axis.key.rfind('.') + 1);
    std::vector<std::pair<std::string, std::vector<std::string>>> next;
    for (const auto& [name, sets] : out)
      for (const std::string& v : axis.values) {
        auto more = sets;
        more.push_back(axis.key + "=" + v);
        next.emplace_back(name + (name.empty() ? "" : " ") + leaf + "=" + v, std::move(more));
      }
    out = std::move(next);
  }
  return out;
}

int compare(const Options& o) {
  o.economics.training_tokens();  // throws where it is no number
  for (const std::string& path : {o.json, o.report})
    if (!path.empty()) check_output(path);
  std::vector<RunReport> reports;
  Diagnostics refused;
  SimulationOptions options;
  options.ideal = o.ideal;
  for (const std::string& path : o.scenarios)
    for (const auto& [name, sets] : combinations(o.vary)) {
      std::vector<std::string> overrides = o.overrides;
      overrides.insert(overrides.end(), sets.begin(), sets.end());
      for (const Scenario& s : load(path, overrides)) {
        if (!o.plan.empty() && s.plan_name != o.plan) continue;
        try {
          RunReport r = simulate(s, options).report;
          o.economics.apply(r);
          if (!name.empty()) r.plan_name = r.plan_name.empty() ? name : r.plan_name + " " + name;
          if (r.plan_name.empty()) r.plan_name = s.name;
          reports.push_back(std::move(r));
        } catch (const UserError& e) {
          // One plan that cannot be is no reason to hide the others, unless nothing varies.
          if (o.vary.empty())
            refused.add(e);
          else
            std::fputs((std::string("left out ") + name + ": " + e.what() + "\n").c_str(), stderr);
        }
      }
    }
  refused.throw_if_any();
  if (reports.empty() && !o.plan.empty() && o.vary.empty())
    throw UserError({}, fmt::format("no scenario has a plan '{}'", o.plan));
  if (reports.empty())
    throw UserError({}, "no combination of --vary can run; the reasons are above");
  if (!o.json.empty()) write_output(o.json, compare_json(reports) + "\n");
  if (!o.report.empty()) write_output(o.report, compare_page(reports));
  if (o.json != "-") std::fputs(compare_text(reports).c_str(), stdout);
  return kExitDone;
}

}  // namespace

void setup_compare(CLI::App& sub, std::function<int()>& action) {
  auto o = std::make_shared<Options>();
  sub.add_option("scenarios", o->scenarios, "scenario files, or names in configs/scenarios")
      ->required();
  sub.add_option("--plan", o->plan, "only this plan of the scenarios");
  sub.add_option("--vary", o->vary, "key=a,b,c: runs every combination of these values")
      ->allow_extra_args(false);
  sub.add_option("--set", o->overrides, "key=value: sets any value in all of them")
      ->allow_extra_args(false);
  o->economics.add_to(sub);
  sub.add_option("--json", o->json, "writes the comparison as JSON ('-' is stdout)");
  sub.add_option("--report", o->report, "writes one HTML page to look at, without network");
  sub.add_flag("--ideal", o->ideal, "efficiency 1, no host and no fixed cost");
  action = [o] { return compare(*o); };
}

}  // namespace rehearse
