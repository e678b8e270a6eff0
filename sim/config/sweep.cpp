#include "sim/config/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <limits>
#include <utility>

#include "sim/base/suggest.hpp"
#include "sim/config/catalog.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {
namespace {

constexpr const char* kPlansKey = "plans";

[[noreturn]] void refuse(const Mark& mark, std::string message, std::string hint = {}) {
  throw UserError({Diagnostic{mark, std::move(message), std::move(hint), true}});
}

void check_key(const std::string& key, const Value& at, const std::vector<SweepAxis>& axes) {
  if (key.starts_with("plans") && (key.size() == 5 || key[5] == '.'))
    refuse(at.key_mark(), fmt::format("'{}': the base's plans are all taken anyway", key),
           "a key of them all is plan.…");
  for (const SweepAxis& axis : axes)
    for (const std::string& known : axis.keys) {
      if (known == key) refuse(at.key_mark(), fmt::format("'{}' is swept twice", key));
      if (known.starts_with(key + "."))
        refuse(at.key_mark(), fmt::format("'{}' would undo '{}' before it", key, known),
               fmt::format("move '{}' up", key));
    }
}

const Value* section(const Value& root, const char* key) {
  const Value* v = root.find(key);
  return v && !v->is_null() ? v : nullptr;
}

}  // namespace

Sweep::Sweep(const Value& root, const std::string& name, const std::vector<std::string>& overrides,
             References& references)
    : name_(name), references_(references) {
  if (!root.is_map())
    refuse(root.mark(), "expected a sweep: a mapping with base, and cross or zip");
  Diagnostics diagnostics;
  Reader reader(root, "", diagnostics);
  for (const char* key : {"base", "cross", "zip", "where", "description"}) reader.raw(key);
  if (!section(root, "base")) reader.missing("base");
  reader.finish();
  diagnostics.throw_if_any();
  Value base = references.resolve("scenarios", *root.find("base"));
  if (const Value* own = base.find("name"); own && own->as_scalar().text == "inline")
    base.set("name", Value::scalar(name));
  bases_ = plan_variants(base, overrides);
  if (bases_.size() > 1 || !bases_.front().first.empty()) {
    SweepAxis plans{{kPlansKey}, {}};
    for (const auto& [plan, tree] : bases_) plans.rows.push_back({Value::scalar(plan)});
    axes_.push_back(std::move(plans));
  }
  read_axes(root);
  check_values();
  read_where(root);
}

void Sweep::read_axes(const Value& root) {
  const Value* cross = section(root, "cross");
  const Value* zip = section(root, "zip");
  for (const Value* v : {cross, zip})
    if (v && !v->is_map()) refuse(v->mark(), "expected a mapping of keys to their values");
  if (cross)
    for (const auto& [key, values] : cross->as_map()) {
      check_key(key, values, axes_);
      SweepAxis axis{{key}, {}};
      for (Value& v : sweep_values(values, key)) axis.rows.push_back({std::move(v)});
      axes_.push_back(std::move(axis));
    }
  SweepAxis together;
  if (zip)
    for (const auto& [key, values] : zip->as_map()) {
      check_key(key, values, axes_);
      check_key(key, values, {together});
      const std::vector<Value> column = sweep_values(values, key);
      if (together.keys.empty()) together.rows.resize(column.size());
      if (column.size() != together.size())
        refuse(values.key_mark(), fmt::format("zip: '{}' has {} values, but '{}' has {}", key,
                                              column.size(), together.keys[0], together.size()));
      for (std::size_t i = 0; i < column.size(); ++i) together.rows[i].push_back(column[i]);
      together.keys.push_back(key);
    }
  if (!together.keys.empty()) axes_.push_back(std::move(together));
  if (axes_.empty())
    refuse(root.mark(), "nothing is swept", "such as cross: {plan.tensor_parallel: [1, 2, 4]}");
  for (const SweepAxis& axis : axes_) {
    keys_.insert(keys_.end(), axis.keys.begin(), axis.keys.end());
    if (combinations_ > std::numeric_limits<std::uint64_t>::max() / 2 / axis.size())
      refuse(root.mark(), "more than 2^63 combinations");
    combinations_ *= axis.size();
  }
}

std::vector<std::size_t> Sweep::rows_of(std::uint64_t point) const {
  std::vector<std::size_t> rows(axes_.size());
  for (std::size_t i = axes_.size(); i-- > 0;) {
    rows[i] = static_cast<std::size_t>(point % axes_[i].size());
    point /= axes_[i].size();
  }
  return rows;
}

std::vector<const Value*> Sweep::values(std::uint64_t point) const {
  const std::vector<std::size_t> rows = rows_of(point);
  std::vector<const Value*> out;
  for (std::size_t i = 0; i < axes_.size(); ++i)
    for (const Value& v : axes_[i].rows[rows[i]]) out.push_back(&v);
  return out;
}

Value Sweep::tree_of(const std::vector<std::size_t>& rows) const {
  const bool plans = axes_.front().keys.front() == kPlansKey;
  Value tree = bases_[plans ? rows[0] : 0].second;
  for (std::size_t i = plans ? 1 : 0; i < axes_.size(); ++i)
    for (std::size_t k = 0; k < axes_[i].keys.size(); ++k)
      set_override(tree, axes_[i].keys[k], axes_[i].rows[rows[i]][k]);
  return tree;
}

Scenario Sweep::scenario(std::uint64_t point) const {
  return read_scenarios(tree_of(rows_of(point)), name_, {}, references_.resolver()).front();
}

std::vector<std::uint64_t> Sweep::probes() const {
  std::vector<std::uint64_t> out{0};
  std::uint64_t stride = combinations_;
  for (const SweepAxis& axis : axes_) {
    stride /= axis.size();
    for (std::uint64_t row = 1; row < axis.size(); ++row) out.push_back(row * stride);
  }
  return out;
}

// Mistakes of form are the file's; what does not go together is the point's.
void Sweep::check_values() {
  Diagnostics diagnostics;
  for (const std::uint64_t point : probes()) {
    try {
      scenario(point);
    } catch (const UserError& e) {
      for (const Diagnostic& d : e.diagnostics())
        if (d.form) diagnostics.add(d);
    }
  }
  diagnostics.throw_if_any();
}

std::string Sweep::content() const {
  std::string out;
  const auto add = [&](const std::string& text) { out += text + "\n"; };
  const Resolver resolver = references_.resolver();
  const auto add_references = [&](const Value& tree) {
    for (const char* kind : {"model", "cluster", "runtime"})
      if (const Value* v = tree.find(kind)) {
        const Value found = resolver(std::string(kind) + "s", *v);
        add(canonical_text(found));
        if (const Value* gpu = found.find("gpu")) add(canonical_text(resolver("gpus", *gpu)));
      }
  };
  for (const auto& [plan, tree] : bases_) add(plan + canonical_text(tree));
  for (std::size_t i = 0; i < axes_.size(); ++i)
    for (std::size_t row = 0; row < axes_[i].size(); ++row) {
      for (std::size_t k = 0; k < axes_[i].keys.size(); ++k)
        add(axes_[i].keys[k] + "=" + canonical_text(axes_[i].rows[row][k]));
      std::vector<std::size_t> rows(axes_.size(), 0);
      rows[i] = row;
      const std::string& key = axes_[i].keys[0];
      const bool refers =
          std::any_of(axes_[i].keys.begin(), axes_[i].keys.end(), [](const auto& k) {
            return k.starts_with("model") || k.starts_with("cluster") || k.starts_with("runtime");
          });
      if (row == 0 || refers || key == kPlansKey) add_references(tree_of(rows));
    }
  for (const Expression& e : where_) add(e.text());
  return out;
}

Sweep load_sweep(const std::string& path_or_name, const std::vector<std::string>& overrides,
                 References& references) {
  const std::string path =
      is_path(path_or_name) ? path_or_name : catalog_file("sweeps", path_or_name, Mark{});
  return Sweep(parse_file(path), std::filesystem::path(path).stem().string(), overrides,
               references);
}

}  // namespace rehearse
