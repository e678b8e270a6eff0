#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/config/expression.hpp"
#include "sim/config/references.hpp"
#include "sim/config/scenario.hpp"

namespace rehearse {

// One dimension of a sweep: keys that change together. `cross` gives an axis a key, `zip` one axis
// of several, and a base with `plans:` an axis of their names, key "plans", before all others.
struct SweepAxis {
  std::vector<std::string> keys;
  std::vector<std::vector<Value>> rows;  // rows[i] has a value for each key

  std::size_t size() const { return rows.size(); }
};

// The points of a sweep file: every combination of the axes' rows, numbered with the last axis
// changing fastest, of which those count that every `where` expression admits. Nothing is stored
// for a point. See interface.md's "A sweep file".
class Sweep {
 public:
  // `root` is the file; `overrides` are those of --set, on the base. Throws UserError with every
  // mistake of form, also of the values of axes, each tried on its own.
  Sweep(const Value& root, const std::string& name, const std::vector<std::string>& overrides,
        References& references);

  std::uint64_t combinations() const { return combinations_; }
  const std::vector<std::string>& keys() const { return keys_; }
  // Values of a point by the order of keys().
  std::vector<const Value*> values(std::uint64_t point) const;
  const std::vector<Expression>& where() const { return where_; }
  // The first of where() that the point does not meet, if any.
  std::optional<std::size_t> left_out_by(std::uint64_t point) const;
  // Throws UserError where the values do not read together. For threads as `references` is.
  Scenario scenario(std::uint64_t point) const;
  // Points that have each row of each axis once.
  std::vector<std::uint64_t> probes() const;
  // Everything that the results depend on, files behind names included, as text.
  std::string content() const;

 private:
  // A variable of an expression as a table over the rows of the axes that it depends on.
  struct Binding {
    std::vector<std::size_t> axes;
    std::vector<Operand> values;  // last axis fastest
  };

  void read_axes(const Value& root);
  void read_where(const Value& root);
  void check_values();
  std::vector<std::size_t> rows_of(std::uint64_t point) const;
  Value tree_of(const std::vector<std::size_t>& rows) const;
  Binding bind(const Expression::Variable& variable) const;
  bool depends(const std::string& variable, const SweepAxis& axis) const;
  const Operand& value_at(const Binding& binding, const std::vector<std::size_t>& rows) const;
  std::optional<Operand> look_up(const Value& tree, const std::string& dotted) const;
  std::vector<std::string> known_keys() const;

  std::string name_;
  References& references_;
  std::vector<std::pair<std::string, Value>> bases_;  // by plan
  std::vector<SweepAxis> axes_;
  std::vector<std::string> keys_;
  std::uint64_t combinations_ = 1;
  std::vector<Expression> where_;
  std::vector<std::vector<Binding>> bindings_;  // of each expression's variables
};

// A sweep of a file, or of a name in configs/sweeps.
Sweep load_sweep(const std::string& path_or_name, const std::vector<std::string>& overrides,
                 References& references);

// The values of {from, to, step} or {from, to, factor}, or of a list. Throws UserError.
std::vector<Value> sweep_values(const Value& values, const std::string& key);

}  // namespace rehearse
