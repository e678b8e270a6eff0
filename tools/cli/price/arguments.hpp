#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sim/base/error.hpp"
#include "sim/base/quantity.hpp"

namespace rehearse {

// A key that an operator of `price` takes, as help and suggestions show it.
struct PriceKey {
  std::string_view name;
  std::string_view help;
  bool required = false;
};

// The key=value pairs of one row, from the command line or from a CSV file, as typed values. Like
// Reader it notes every mistake and goes on with a default.
class PriceArguments {
 public:
  explicit PriceArguments(Diagnostics& diagnostics, Mark row = {})
      : diagnostics_(&diagnostics), row_(std::move(row)) {}

  void set(const std::string& key, std::string text, Mark mark = {});
  bool has(std::string_view key) const { return values_.find(key) != values_.end(); }

  // Required keys are reported as missing; the others take the fallback.
  std::string text(std::string_view key, std::string_view fallback = {});
  std::int64_t count(std::string_view key, std::optional<std::int64_t> fallback = {});
  // A positive number, "0.4" or "15T".
  double number(std::string_view key, std::optional<double> fallback = {});
  // "700 W"; the fallback when not given.
  Watts power(std::string_view key, Watts fallback);
  bool flag(std::string_view key, bool fallback);
  // "64MiB"; a bare number is bytes.
  Bytes bytes(std::string_view key);
  // One of `names`; returns its index, the first when not given.
  std::size_t choice(std::string_view key, std::span<const std::string> names);

  void error(std::string_view key, std::string message, std::string hint = {});
  Mark mark_of(std::string_view key) const;

 private:
  struct Given {
    std::string text;
    Mark mark;
  };
  const std::string* find(std::string_view key) const;

  std::map<std::string, Given, std::less<>> values_;
  Diagnostics* diagnostics_;
  Mark row_;
};

}  // namespace rehearse
