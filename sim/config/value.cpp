#include "sim/config/value.hpp"

#include <algorithm>
#include <cstddef>

namespace rehearse {

Value Value::scalar(std::string text, Mark mark, bool quoted) {
  Value v;
  v.data_ = Scalar{std::move(text), quoted};
  v.mark_ = std::move(mark);
  return v;
}

Value Value::null(Mark mark) {
  Value v;
  v.mark_ = std::move(mark);
  return v;
}

Value Value::list(List items, Mark mark) {
  Value v;
  v.data_ = std::make_shared<List>(std::move(items));
  v.mark_ = std::move(mark);
  return v;
}

Value Value::map(Map entries, Mark mark) {
  Value v;
  v.data_ = std::make_shared<Map>(std::move(entries));
  v.mark_ = std::move(mark);
  return v;
}

const Value* Value::find(const std::string& key) const {
  for (const auto& [name, value] : as_map()) {
    if (name == key) return &value;
  }
  return nullptr;
}

Value::Map& Value::own_map() {
  if (is_null()) data_ = std::make_shared<Map>();
  auto& entries = std::get<std::shared_ptr<Map>>(data_);
  if (entries.use_count() > 1) entries = std::make_shared<Map>(*entries);
  return *entries;
}

void Value::set(const std::string& key, Value v) {
  Map& entries = own_map();
  for (auto& [name, value] : entries) {
    if (name == key) {
      value = std::move(v);
      return;
    }
  }
  entries.emplace_back(key, std::move(v));
}

void Value::erase(const std::string& key) {
  if (is_null() || !find(key)) return;
  Map& entries = own_map();
  entries.erase(std::remove_if(entries.begin(), entries.end(),
                               [&](const auto& entry) { return entry.first == key; }),
                entries.end());
}

void Value::set_path(const std::string& dotted, Value v) {
  Value* at = this;
  std::size_t begin = 0;
  while (true) {
    const std::size_t dot = dotted.find('.', begin);
    const std::string key = dotted.substr(begin, dot - begin);
    if (key.empty()) {
      throw UserError(v.mark(), "'" + dotted + "' is not a key such as 'plan.tensor_parallel'");
    }
    if (at->is_scalar() || at->is_list()) {
      throw UserError(v.mark(), "cannot set '" + dotted + "': '" + dotted.substr(0, begin - 1) +
                                    "' is a " + (at->is_list() ? "list" : "value") +
                                    ", not a mapping");
    }
    if (dot == std::string::npos) {
      at->set(key, std::move(v));
      return;
    }
    if (at->is_null() || !at->find(key)) at->set(key, Value::map({}, v.mark()));
    Map& entries = at->own_map();
    at = &std::find_if(entries.begin(), entries.end(), [&](const auto& e) {
            return e.first == key;
          })->second;
    begin = dot + 1;
  }
}

Value merged(const Value& base, const Value& over) {
  if (!base.is_map() || !over.is_map()) return over;
  Value result = base;
  for (const auto& [key, value] : over.as_map()) {
    const Value* known = base.find(key);
    result.set(key, known ? merged(*known, value) : value);
  }
  return result;
}

std::string canonical_text(const Value& v) {
  if (v.is_null()) return "~";
  std::string out;
  if (v.is_scalar()) {
    out += v.as_scalar().quoted ? '"' : '\'';
    for (const char c : v.as_scalar().text) {
      if (c == '\\' || c == '\'' || c == '"') out += '\\';
      out += c;
    }
    return out += v.as_scalar().quoted ? '"' : '\'';
  }
  const auto add = [&out](const std::string& text) { out += (out.size() > 1 ? "," : "") + text; };
  if (v.is_list()) {
    out = "[";
    for (const Value& item : v.as_list()) add(canonical_text(item));
    return out + "]";
  }
  out = "{";
  for (const auto& [key, value] : v.as_map())
    add(canonical_text(Value::scalar(key)) + ":" + canonical_text(value));
  return out + "}";
}

Value with_mark(const Value& v, const Mark& mark) {
  if (v.is_scalar()) return Value::scalar(v.as_scalar().text, mark, v.as_scalar().quoted);
  if (v.is_list()) {
    Value::List items;
    for (const Value& item : v.as_list()) items.push_back(with_mark(item, mark));
    return Value::list(std::move(items), mark);
  }
  if (v.is_map()) {
    Value::Map entries;
    for (const auto& [key, value] : v.as_map()) entries.emplace_back(key, with_mark(value, mark));
    return Value::map(std::move(entries), mark);
  }
  return Value::null(mark);
}

}  // namespace rehearse
