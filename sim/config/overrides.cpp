#include <string>
#include <utility>

#include "sim/base/suggest.hpp"
#include "sim/config/catalog.hpp"
#include "sim/config/scenario.hpp"

namespace rehearse {
namespace {

Mark set_mark() { return {"--set", 0, 0}; }

// Where `dotted` runs through a name, turns the name into a mapping with that name.
Value opened(const Value& v, const std::string& dotted, const std::string& place) {
  if (v.is_scalar()) return merged_reference(v, Value::map({}, v.mark()));
  if (!v.is_map() || place != "cluster" || !dotted.starts_with("cluster.gpu.")) return v;
  const Value* gpu = v.find("gpu");
  if (!gpu || !gpu->is_scalar()) return v;
  Value result = v;
  result.set("gpu", merged_reference(*gpu, Value::map({}, gpu->mark())));
  return result;
}

}  // namespace

void set_override(Value& root, const std::string& dotted, Value v) {
  for (const std::string place : {"model", "cluster", "runtime"}) {
    const Value* reference = root.is_map() ? root.find(place) : nullptr;
    if (!reference || !dotted.starts_with(place + ".")) continue;
    const Mark key_mark = reference->key_mark();
    Value named = opened(*reference, dotted, place);
    named.set_key_mark(key_mark);
    root.set(place, std::move(named));
  }
  root.set_path(dotted, std::move(v));
}

std::pair<std::string, Value> parse_override(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw UserError(set_mark(), "expected key=value, got '" + text + "'",
                    "such as plan.tensor_parallel=4");
  }
  const std::string key = text.substr(0, equals);
  const std::string value = text.substr(equals + 1);
  if (value.find_first_not_of(" \t") == std::string::npos) {
    throw UserError(set_mark(), "'" + key + "' is given no value");
  }
  try {
    return {key, with_mark(parse_text(value, set_mark().file), set_mark())};
  } catch (const UserError& e) {
    Diagnostics unplaced;
    for (const Diagnostic& d : e.diagnostics()) {
      unplaced.add(set_mark(), "'" + text + "': " + d.message, d.hint);
    }
    unplaced.throw_if_any();
    throw;
  }
}

}  // namespace rehearse
