// The Python module's compiled half: scenarios go in as YAML text, results come out as JSON text.
// rehearse/__init__.py makes objects and frames of them.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/base/suggest.hpp"
#include "sim/config/catalog.hpp"
#include "sim/config/scenario.hpp"
#include "sim/config/value.hpp"
#include "tools/cli/evaluate.hpp"
#include "tools/cli/price/operators.hpp"
#include "tools/cli/simulation.hpp"

namespace py = pybind11;

namespace rehearse {
namespace {

// What names a scenario: YAML text with the name to use in messages, or (text empty) a file or a
// name in configs/scenarios.
struct Source {
  std::string text, name;
  std::vector<std::string> overrides;
};

Scenario pick(const Source& source, const std::string& plan) {
  std::vector<Scenario> all =
      source.text.empty()
          ? load_scenarios(source.name, source.overrides)
          : read_scenarios(parse_text(source.text, source.name), source.name, source.overrides);
  if (all.size() == 1 && plan.empty()) return std::move(all.front());
  std::string names;
  for (Scenario& s : all) {
    if (s.plan_name == plan) return std::move(s);
    names += (names.empty() ? "" : ", ") + s.plan_name;
  }
  throw UserError(all.front().mark, plan.empty() ? "choose a plan: " + names
                                                 : "no plan '" + plan + "' among: " + names);
}

std::vector<std::string> plan_names(const Source& source) {
  std::vector<std::string> names;
  for (const Scenario& s : load_scenarios(source.name, source.overrides))
    names.push_back(s.plan_name);
  return names;
}

std::string run(const Source& source, const std::string& plan, bool ideal) {
  SimulationOptions options;
  options.ideal = ideal;
  return run_json(simulate(pick(source, plan), options).report);
}

std::string trace(const Source& source, const std::string& plan, bool ideal) {
  SimulationOptions options;
  options.ideal = ideal;
  options.merge = false;
  const Simulation s = simulate(pick(source, plan), options);
  return chrome_trace(s.lowered.graph, s.timeline, s.lowered.notes);
}

py::dict evaluated(const Source& source, const std::string& plan, EvaluationCache& cache) {
  const Evaluation e = evaluate(pick(source, plan), cache);
  py::dict d;
  d["step_time_s"] = e.step_time.value;
  d["tokens_per_second"] = e.tokens_per_second;
  d["tokens_per_second_per_gpu"] = e.tokens_per_second_per_gpu;
  d["model_tflops_per_gpu"] = e.model_tflops_per_gpu;
  d["mfu"] = e.mfu;
  d["hfu"] = e.hfu;
  d["gpus"] = e.gpus;
  d["fits_in_memory"] = e.fits;
  d["peak_memory_bytes"] = e.peak_memory.value;
  d["peak_reserved_bytes"] = e.peak_reserved.value;
  d["memory_capacity_bytes"] = e.memory_capacity.value;
  return d;
}

std::string price(const std::string& name,
                  const std::vector<std::pair<std::string, std::string>>& pairs, bool ideal) {
  const PriceOperator& op = find_price_operator(name);
  Diagnostics diagnostics;
  PriceArguments arguments(diagnostics);
  std::vector<std::string> known;
  for (const PriceKey& key : op.keys) known.emplace_back(key.name);
  for (const auto& [key, text] : pairs) {
    if (std::find(known.begin(), known.end(), key) == known.end())
      diagnostics.add({}, name + " has no key '" + key + "'", suggestion(key, known));
    arguments.set(key, text);
  }
  PriceMachines machines(ideal);
  const Priced priced = op.price(name, arguments, machines, true);
  diagnostics.throw_if_any();
  nlohmann::ordered_json json;
  json["operator"] = name;
  json["time_s"] = priced.time.value;
  for (const PriceFact& fact : priced.facts)
    if (!fact.key.empty()) json[fact.key] = fact.value;
  return json.dump();
}

}  // namespace
}  // namespace rehearse

PYBIND11_MODULE(_core, m) {
  using namespace rehearse;
  m.doc() = "Predicts what one training step of a model costs on a GPU cluster.";
  py::register_exception<UserError>(m, "ScenarioError", PyExc_ValueError);
  py::class_<Source>(m, "Source")
      .def(py::init([](std::string text, std::string name, std::vector<std::string> overrides) {
             return Source{std::move(text), std::move(name), std::move(overrides)};
           }),
           py::arg("text"), py::arg("name"), py::arg("overrides"));
  py::class_<EvaluationCache>(m, "Cache").def(py::init<>());
  m.def("run", &run, py::arg("source"), py::arg("plan"), py::arg("ideal"));
  m.def("trace", &trace, py::arg("source"), py::arg("plan"), py::arg("ideal"));
  m.def("evaluate", &evaluated, py::arg("source"), py::arg("plan"), py::arg("cache"));
  m.def("price", &price, py::arg("operator"), py::arg("pairs"), py::arg("ideal"));
  m.def("plans", &plan_names, py::arg("source"));
  m.def("names", &catalog_names, py::arg("kind"));
}
