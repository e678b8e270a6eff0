#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "sim/base/suggest.hpp"
#include "sim/config/reader.hpp"
#include "sim/config/sweep.hpp"

// What the expressions of a sweep's `where` mean at a point.
namespace rehearse {
namespace {

// What a scenario means where it does not say (interface.md).
constexpr std::pair<const char*, const char*> kDefaults[] = {
    {"plan.tensor_parallel", "1"},   {"plan.sequence_parallel", "false"},
    {"plan.pipeline_parallel", "1"}, {"plan.virtual_stages", "1"},
    {"plan.context_parallel", "1"},  {"plan.expert_parallel", "1"},
    {"plan.zero_stage", "0"},        {"plan.schedule", "1f1b"},
    {"training.precision", "bf16"},  {"training.recompute", "none"},
    {"training.optimizer", "adamw"}, {"training.attention", "flash"},
    {"training.dropout", "0"},       {"training.causal", "true"},
    {"cluster.nodes", "1"},          {"cluster.gpus_per_node", "1"},
    {"runtime", "pytorch-eager"},
};

// What follows from other keys.
constexpr const char* kGpus = "gpus";
constexpr const char* kDataParallel = "plan.data_parallel";

constexpr std::size_t kLargestTable = 1'000'000;

bool below(const std::string& inner, const std::string& outer) {
  return inner == outer || inner.starts_with(outer + ".");
}

void gather_keys(const Value& tree, const std::string& prefix, std::set<std::string>& out) {
  if (!tree.is_map()) return;
  for (const auto& [key, value] : tree.as_map()) {
    if (value.is_map())
      gather_keys(value, prefix + key + ".", out);
    else
      out.insert(prefix + key);
  }
}

}  // namespace

bool Sweep::depends(const std::string& variable, const SweepAxis& axis) const {
  return std::any_of(axis.keys.begin(), axis.keys.end(), [&](const std::string& key) {
    if (key == "plans" || below(variable, key) || below(key, variable)) return true;
    const bool of_cluster = below(key, "cluster");
    if (variable == kGpus) return of_cluster;
    if (variable == kDataParallel) return of_cluster || below(key, "plan");
    // A reference below another: cluster.gpu.memory follows cluster.gpu, cluster and its name.
    return of_cluster && below(variable, "cluster");
  });
}

std::optional<Operand> Sweep::look_up(const Value& tree, const std::string& dotted) const {
  const auto number = [&](const char* key) {
    const auto o = look_up(tree, key);
    return o && o->kind == Operand::Kind::kNumber ? o->number : 1.0;
  };
  if (dotted == kGpus)
    return Operand::of(number("cluster.nodes") * number("cluster.gpus_per_node"));
  Value at = tree;
  std::size_t begin = 0;
  while (begin != std::string::npos) {
    const std::size_t dot = dotted.find('.', begin);
    const std::string done = dotted.substr(0, begin == 0 ? 0 : begin - 1);
    for (const auto& [place, kind] : {std::pair{"model", "models"},
                                      {"cluster", "clusters"},
                                      {"runtime", "runtimes"},
                                      {"cluster.gpu", "gpus"}})
      if (done == place) at = references_.resolve(kind, at);
    const Value* next = at.is_map() ? at.find(dotted.substr(begin, dot - begin)) : nullptr;
    if (!next || next->is_null()) break;
    const Value inner = *next;
    at = inner;
    if (dot == std::string::npos) {
      if (at.is_scalar()) return Operand::of(at.as_scalar());
      // A reference is known by its name.
      const Value* name = at.is_map() ? at.find("name") : nullptr;
      if (name && name->is_scalar()) return Operand::of(name->as_scalar());
      break;
    }
    begin = dot + 1;
  }
  if (dotted == kDataParallel)
    return Operand::of(number(kGpus) / number("plan.tensor_parallel") /
                       number("plan.pipeline_parallel") / number("plan.context_parallel"));
  for (const auto& [key, text] : kDefaults)
    if (dotted == key) return Operand::of(Value::Scalar{text, false});
  return std::nullopt;
}

std::vector<std::string> Sweep::known_keys() const {
  std::set<std::string> out(keys_.begin(), keys_.end());
  for (const auto& [plan, tree] : bases_) gather_keys(tree, "", out);
  const Value& first = bases_.front().second;
  for (const char* section : {"model", "cluster"})
    if (const Value* v = first.find(section))
      gather_keys(references_.resolve(std::string(section) + "s", *v), std::string(section) + ".",
                  out);
  for (const auto& [key, text] : kDefaults) out.insert(key);
  out.insert({kGpus, kDataParallel});
  return {out.begin(), out.end()};
}

Sweep::Binding Sweep::bind(const Expression::Variable& variable) const {
  Binding out;
  std::size_t size = 1;
  for (std::size_t i = 0; i < axes_.size(); ++i)
    if (depends(variable.name, axes_[i])) {
      out.axes.push_back(i);
      size *= axes_[i].size();
      if (size > kLargestTable)
        throw UserError(variable.mark, fmt::format("'{}' depends on too many combinations of what "
                                                   "is swept (more than {})",
                                                   variable.name, kLargestTable));
    }
  for (std::size_t entry = 0; entry < size; ++entry) {
    std::vector<std::size_t> rows(axes_.size(), 0);
    std::size_t rest = entry;
    for (std::size_t i = out.axes.size(); i-- > 0;) {
      rows[out.axes[i]] = rest % axes_[out.axes[i]].size();
      rest /= axes_[out.axes[i]].size();
    }
    if (variable.name == "plans" && axes_.front().keys.front() == "plans") {
      out.values.push_back(Operand::of(axes_.front().rows[rows[0]][0].as_scalar()));
      continue;
    }
    const auto value = look_up(tree_of(rows), variable.name);
    if (!value)
      throw UserError({Diagnostic{variable.mark,
                                  fmt::format("'{}' is neither swept nor a key of the base that "
                                              "has one value",
                                              variable.name),
                                  suggestion(variable.name, known_keys()), true}});
    out.values.push_back(*value);
  }
  return out;
}

const Operand& Sweep::value_at(const Binding& binding, const std::vector<std::size_t>& rows) const {
  std::size_t entry = 0;
  for (const std::size_t axis : binding.axes) entry = entry * axes_[axis].size() + rows[axis];
  return binding.values[entry];
}

void Sweep::read_where(const Value& root) {
  const Value* where = root.find("where");
  if (!where || where->is_null()) return;
  const Value::List one{*where};
  Diagnostics diagnostics;
  for (const Value& text : where->is_list() ? where->as_list() : one) {
    try {
      Expression expression(text);
      std::vector<Binding> bindings;
      for (const Expression::Variable& v : expression.variables()) bindings.push_back(bind(v));
      where_.push_back(std::move(expression));
      bindings_.push_back(std::move(bindings));
    } catch (const UserError& e) {
      diagnostics.add(e);
    }
  }
  diagnostics.throw_if_any();
  left_out_by(0);  // types that do not go together show at once
}

std::optional<std::size_t> Sweep::left_out_by(std::uint64_t point) const {
  if (where_.empty()) return std::nullopt;
  const std::vector<std::size_t> rows = rows_of(point);
  std::vector<const Operand*> values;
  for (std::size_t i = 0; i < where_.size(); ++i) {
    values.clear();
    for (const Binding& b : bindings_[i]) values.push_back(&value_at(b, rows));
    if (!where_[i].holds(values)) return i;
  }
  return std::nullopt;
}

}  // namespace rehearse
