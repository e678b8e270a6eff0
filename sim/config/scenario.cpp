#include "sim/config/scenario.hpp"

#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <utility>

#include "sim/base/suggest.hpp"
#include "sim/config/catalog.hpp"
#include "sim/config/sections.hpp"

namespace rehearse {
namespace {

// One plan of a scenario: its name (empty without `plans:`) and the whole tree with it laid over.
struct Variant {
  std::string plan_name;
  Value tree;
};

void overlay(Value& tree, const std::string& key, const Value& over) {
  if (over.is_null()) return;
  const Value* base = tree.find(key);
  tree.set(key, base ? merged_reference(*base, over) : over);
}

// Lays an entry of `plans:` over the scenario: its own training and runtime, the rest is plan.
Value with_plan(const Value& root, const Value& entry) {
  Value tree = root;
  if (entry.is_null()) return tree;
  Value plan = entry;
  for (const char* section : {"training", "runtime"}) {
    if (const Value* own = entry.find(section)) overlay(tree, section, *own);
    plan.erase(section);
  }
  overlay(tree, "plan", plan);
  return tree;
}

std::vector<Variant> variants_of(const Value& root, Diagnostics& diagnostics) {
  const Value* plans = root.find("plans");
  Value common = root;
  common.erase("plans");
  if (!plans || plans->is_null()) return {{"", std::move(common)}};
  std::vector<Variant> variants;
  if (!plans->is_map() || plans->as_map().empty()) {
    diagnostics.add(plans->key_mark(), "plans: expected a mapping of names to plans",
                    "such as plans: {ddp: {}, fsdp: {zero_stage: 3}}");
    return variants;
  }
  for (const auto& [name, entry] : plans->as_map()) {
    if (entry.is_map() || entry.is_null()) {
      variants.push_back({name, with_plan(common, entry)});
    } else {
      diagnostics.add(entry.mark(), "plans." + name + ": expected a mapping of plan keys");
    }
  }
  return variants;
}

// A --set of one plan must not create a plan by a misspelt name.
void check_plan_exists(const Value& root, const std::string& dotted, const Mark& mark) {
  const std::string name = dotted.substr(6, dotted.find('.', 6) - 6);
  const Value* plans = root.find("plans");
  std::vector<std::string> names;
  if (plans && plans->is_map()) {
    for (const auto& [known, entry] : plans->as_map()) names.push_back(known);
  }
  for (const std::string& known : names) {
    if (known == name) return;
  }
  throw UserError(mark, "unknown plan '" + name + "'", suggestion(name, names));
}

// The overrides in order: those of `plans.` on the scenario as it is written, the others on every
// plan once it is laid over, so that the command line has the last word.
std::vector<Variant> overridden_variants(Value root, const std::vector<std::string>& overrides,
                                         Diagnostics& diagnostics) {
  std::vector<std::pair<std::string, Value>> of_plans;
  for (const std::string& text : overrides) {
    try {
      auto [key, value] = parse_override(text);
      if (!key.starts_with("plans.")) {
        of_plans.emplace_back(std::move(key), std::move(value));
        continue;
      }
      check_plan_exists(root, key, value.mark());
      root.set_path(key, std::move(value));
    } catch (const UserError& e) {
      diagnostics.add(e);
    }
  }
  std::vector<Variant> variants = variants_of(root, diagnostics);
  for (Variant& variant : variants) {
    for (const auto& [key, value] : of_plans) {
      try {
        set_override(variant.tree, key, value);
      } catch (const UserError& e) {
        diagnostics.add(e);
      }
    }
  }
  return variants;
}

// The tree behind a reference; null when it was wrong, which is then reported.
Value look_up(const Resolver& resolver, const std::string& kind, const Value& field,
              Diagnostics& diagnostics) {
  try {
    return resolver(kind, field);
  } catch (const UserError& e) {
    diagnostics.add(e);
    return Value();
  }
}

void read_runtime(Reader& root, const Resolver& resolver, Scenario& scenario) {
  Value field = root.raw("runtime");
  if (field.is_null()) field = Value::scalar(scenario.runtime_name, root.mark());
  // The name decides defaults even where the runtime's file is not found.
  if (field.is_scalar()) scenario.runtime_name = field.as_scalar().text;
  scenario.runtime = look_up(resolver, "runtimes", field, root.diagnostics());
  if (!scenario.runtime.is_map()) return;
  const Value* name = scenario.runtime.find("name");
  if (name && name->is_scalar()) scenario.runtime_name = name->as_scalar().text;
}

// Reports keys of `here` that belong to `section`, which `there` reads, by their right name.
void report_misplaced(Reader& here, const std::string& prefix, const Reader& there,
                      const std::string& section) {
  if (!here.value().is_map()) return;
  for (const auto& [key, value] : here.value().as_map()) {
    if (here.knows(key) || !there.knows(key)) continue;
    here.diagnostics().add(Diagnostic{value.key_mark(),
                                      fmt::format("{}unknown key '{}'", prefix, key),
                                      fmt::format("did you mean '{}.{}'?", section, key), true});
    here.ignore(std::array{key});
  }
}

// The shape of the pass: all of a prompt, or the next token of each sequence.
void set_pass(Scenario& scenario) {
  Training& t = scenario.training;
  const Inference& i = scenario.inference;
  t.sequence_length = scenario.task == Task::kPrefill ? i.prompt_length : 1;
  t.micro_batch_size = t.global_batch_size = i.batch;
  t.causal = scenario.task == Task::kPrefill;
}

void read_task(Reader& root, Scenario& scenario) {
  static const std::vector<std::string> kTasks{"training", "prefill", "decode", "serving"};
  const std::size_t task = root.choice("task", kTasks, 0);
  scenario.task = static_cast<Task>(task);
}

void read_sections(Reader& root, Scenario& scenario) {
  Reader training = root.child("training");
  if (scenario.task != Task::kTraining) {
    scenario.training = read_inference_training(training);
  } else if (root.raw("training").is_null()) {
    root.missing("training");
  } else {
    scenario.training = read_training(training);
  }
  Reader plan = root.child("plan");
  scenario.plan = read_plan(plan, scenario.runtime_name);
  report_misplaced(root, "", plan, "plan");
  report_misplaced(root, "", training, "training");
  report_misplaced(plan, "plan: ", training, "training");
  report_misplaced(training, "training: ", plan, "plan");
  Reader variation = root.child("variation"), failures = root.child("failures");
  scenario.variation = read_variation(variation);
  scenario.failures = read_failures(failures);
  Reader inference = root.child("inference"), serving = root.child("serving");
  const bool passes = scenario.task == Task::kPrefill || scenario.task == Task::kDecode;
  if (passes) {
    scenario.inference = read_inference(inference, scenario.task, scenario.training.precision);
    set_pass(scenario);
  } else if (root.has("inference")) {
    root.error("inference", "it belongs to task: prefill or decode");
    return;
  }
  if (scenario.task == Task::kServing) {
    scenario.serving = read_serving(serving);
  } else if (root.has("serving")) {
    root.error("serving", "it belongs to task: serving");
    return;
  }
  for (Reader* section : {&training, &plan, &variation, &failures, &inference, &serving})
    section->finish();
}

void collect_marks(const Value& tree, Scenario& scenario) {
  for (const auto& [key, value] : tree.as_map()) {
    scenario.marks.emplace_back(key, value.key_mark());
    if ((key != "plan" && key != "training" && key != "inference") || !value.is_map()) continue;
    for (const auto& [name, field] : value.as_map()) {
      scenario.marks.emplace_back(fmt::format("{}.{}", key, name), field.key_mark());
    }
  }
}

Scenario read_variant(const Variant& variant, const std::string& base_name,
                      const Resolver& resolver, Diagnostics& diagnostics) {
  Scenario scenario;
  scenario.mark = variant.tree.mark();
  scenario.plan_name = variant.plan_name;
  Reader root(variant.tree, "", diagnostics);
  scenario.name = root.optional<std::string>("name", base_name);
  if (!variant.plan_name.empty()) scenario.name += "/" + variant.plan_name;
  root.ignore(std::array<std::string, 4>{"description", "model", "cluster", "plans"});
  read_runtime(root, resolver, scenario);
  read_task(root, scenario);
  read_sections(root, scenario);
  collect_marks(variant.tree, scenario);
  root.finish();
  return scenario;
}

}  // namespace

Mark Scenario::mark_of(const std::string& dotted) const {
  for (const auto& [key, key_mark] : marks) {
    if (key == dotted) return key_mark;
  }
  return mark;
}

std::vector<std::pair<std::string, Value>> plan_variants(
    const Value& root, const std::vector<std::string>& overrides) {
  Diagnostics diagnostics;
  std::vector<std::pair<std::string, Value>> out;
  for (Variant& v : overridden_variants(root, overrides, diagnostics))
    out.emplace_back(std::move(v.plan_name), std::move(v.tree));
  diagnostics.throw_if_any();
  return out;
}

std::vector<Scenario> read_scenarios(const Value& root, const std::string& name,
                                     const std::vector<std::string>& overrides,
                                     const Resolver& resolver) {
  if (!root.is_map()) {
    throw UserError(root.mark(), "expected a scenario: a mapping with model, cluster and training");
  }
  Diagnostics diagnostics;
  const std::vector<Variant> variants = overridden_variants(root, overrides, diagnostics);
  if (variants.empty()) diagnostics.throw_if_any();

  // Plans do not change the model or the cluster.
  const Value& first = variants.front().tree;
  Reader references(first, "", diagnostics);
  std::array<Value, 2> found;
  for (const auto& [key, index] : {std::pair{"model", 0U}, std::pair{"cluster", 1U}}) {
    const Value& field = references.raw(key);
    if (field.is_null()) {
      references.missing(key);
    } else {
      found[index] = look_up(resolver, std::string(key) + "s", field, diagnostics);
    }
  }
  std::vector<Scenario> scenarios;
  for (const Variant& variant : variants) {
    scenarios.push_back(read_variant(variant, name, resolver, diagnostics));
    scenarios.back().model = found[0];
    scenarios.back().cluster = found[1];
  }
  diagnostics.throw_if_any();
  return scenarios;
}

std::vector<Scenario> load_scenarios(const std::string& path_or_name,
                                     const std::vector<std::string>& overrides,
                                     const Resolver& resolver) {
  const std::string path =
      is_path(path_or_name) ? path_or_name : catalog_file("scenarios", path_or_name, Mark{});
  return read_scenarios(parse_file(path), std::filesystem::path(path).stem().string(), overrides,
                        resolver);
}

}  // namespace rehearse
