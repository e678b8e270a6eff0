#pragma once

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "sim/base/error.hpp"

namespace rehearse {

// A parsed text as a tree of maps, lists and scalars, each with the place it came from. It is what
// names, merging, `--set`, `plans:` and sweeps work on; typed values come out of it by Reader.
// Scalars keep their text: "900 GB/s", "true", "1e3" are interpreted where their type is known.
//
// A copy shares what it copies and costs nothing; setting a key copies the maps on the way to it
// when others share them.
class Value {
 public:
  struct Scalar {
    std::string text;
    bool quoted = false;  // quoted in the source: a string whatever it looks like
  };
  using List = std::vector<Value>;
  // In the file's order; keys are unique (a duplicate is an error of the parser).
  using Map = std::vector<std::pair<std::string, Value>>;

  Value() = default;  // null
  static Value scalar(std::string text, Mark mark = {}, bool quoted = false);
  static Value null(Mark mark);  // a null that remembers its place
  static Value list(List items, Mark mark = {});
  static Value map(Map entries, Mark mark = {});

  bool is_null() const { return std::holds_alternative<std::monostate>(data_); }
  bool is_scalar() const { return std::holds_alternative<Scalar>(data_); }
  bool is_list() const { return std::holds_alternative<std::shared_ptr<List>>(data_); }
  bool is_map() const { return std::holds_alternative<std::shared_ptr<Map>>(data_); }
  const Scalar& as_scalar() const { return std::get<Scalar>(data_); }
  const List& as_list() const { return *std::get<std::shared_ptr<List>>(data_); }
  const Map& as_map() const { return *std::get<std::shared_ptr<Map>>(data_); }
  // Of a map: the same for copies that share their entries, as long as one of them lives.
  const void* identity() const { return std::get<std::shared_ptr<Map>>(data_).get(); }

  const Mark& mark() const { return mark_; }
  // The mark of the key that introduced this value (its own mark when there is none).
  const Mark& key_mark() const { return key_mark_.line ? key_mark_ : mark_; }
  void set_key_mark(Mark m) { key_mark_ = std::move(m); }

  // The value under `key`, or nullptr. Only for maps.
  const Value* find(const std::string& key) const;
  // Sets or replaces `key` of a map (a null becomes a map).
  void set(const std::string& key, Value v);
  void erase(const std::string& key);
  // Sets a dotted path, "plan.tensor_parallel", creating maps on the way. Throws UserError where
  // the path runs through a scalar or list.
  void set_path(const std::string& dotted, Value v);

 private:
  // The entries of a map (a null becomes one), no longer shared with others.
  Map& own_map();

  std::variant<std::monostate, Scalar, std::shared_ptr<List>, std::shared_ptr<Map>> data_;
  Mark mark_;
  Mark key_mark_;
};

// `over` on top of `base`: maps merge key by key, deeply; anything else replaces.
Value merged(const Value& base, const Value& over);

// The same tree with every mark replaced.
Value with_mark(const Value& v, const Mark& mark);

// The tree in one line that two trees share only when they hold the same, whatever their marks.
std::string canonical_text(const Value& v);

// Parses YAML or JSON text. Throws UserError (all duplicate keys at once; not YAML; empty; several
// documents; an alias bomb; nesting too deep). `file` is only for marks.
Value parse_text(const std::string& text, const std::string& file);
// Throws UserError when the file is missing or unreadable.
Value parse_file(const std::string& path);

}  // namespace rehearse
