#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/base/quantity.hpp"
#include "sim/config/value.hpp"

namespace rehearse {

// Reads one map into typed values and reports everything that is wrong with it: a missing key (at
// the parent's mark), a wrong type or unit, a value out of range, an unknown key (with the nearest
// one). Mistakes go to the shared Diagnostics; a reader returns a default and goes on, so that all
// mistakes of a file are reported at once. Call finish() last: it reports the keys nobody asked
// for. A key without a value (null) reads as missing. A reader refers to `value`, which must
// outlive it.
//
// T: bool, int64_t, int, double, std::string, Bytes, Seconds, BytesPerSecond, FlopsPerSecond,
// Watts.
// Quantities carry their unit in the text: "900 GB/s", "400 Gb/s" (bits), "25 MiB", "3 us",
// "989 TFLOP/s", "inf". GB is 1e9, GiB is 2^30.
class Reader {
 public:
  // `what` names the map in messages: "cluster", "plan"; empty for a file's top level. A null value
  // reads as an empty map.
  Reader(const Value& value, std::string what, Diagnostics& diagnostics);

  template <class T>
  T required(const std::string& key);
  template <class T>
  T optional(const std::string& key, T fallback);
  template <class T>
  std::optional<T> maybe(const std::string& key);
  template <class T>
  std::vector<T> list(const std::string& key);  // empty when missing

  // An integer of at least `minimum`.
  std::int64_t required_count(const std::string& key, std::int64_t minimum = 1);
  std::int64_t count(const std::string& key, std::int64_t fallback, std::int64_t minimum = 1);

  // One of `names`; returns its index. `fallback` is an index.
  std::size_t choice(const std::string& key, std::span<const std::string> names,
                     std::size_t fallback);

  bool has(const std::string& key) const { return value_->is_map() && value_->find(key); }
  // The raw value, marked as read; a null Value when missing.
  const Value& raw(const std::string& key);
  // A reader for a nested map; missing reads as empty.
  Reader child(const std::string& key);
  // Marks keys as known without reading them.
  void ignore(std::span<const std::string> keys);
  // Reports an error at `key` (or at the map when it is missing): in what it means beside others.
  void error(const std::string& key, std::string message, std::string hint = {});
  // Where the map is: the key that introduces it. A missing map is where its parent is.
  const Mark& mark() const { return mark_; }
  const Value& value() const { return *value_; }
  // Whether `key` was asked for (or ignored) so far.
  bool knows(const std::string& key) const { return known_.count(key) > 0; }
  Diagnostics& diagnostics() { return *diagnostics_; }

  // Reports that `key` is not there or has no value.
  void missing(const std::string& key);

  void finish();

 private:
  // error(), in this key alone (Diagnostic::form).
  void form(const std::string& key, std::string message, std::string hint = {});
  void add(const std::string& key, std::string message, std::string hint, bool of_form);
  // The value under `key`, which becomes known; nullptr when it is missing or null.
  const Value* look(const std::string& key);
  std::string prefix() const;  // "plan: "
  std::string full_name(const std::string& key) const;
  template <class T>
  std::optional<T> read(const Value& v, const std::string& key);
  std::int64_t checked_count(const Value& v, const std::string& key, std::int64_t fallback,
                             std::int64_t minimum);

  const Value* value_;
  std::string what_;
  Diagnostics* diagnostics_;
  Mark mark_;
  bool broken_ = false;  // not a map: reported, and then read as empty
  std::set<std::string> known_;
};

// One scalar as T; throws UserError at its mark. `key` names it in the message.
template <class T>
T scalar_as(const Value& v, const std::string& key);

}  // namespace rehearse
