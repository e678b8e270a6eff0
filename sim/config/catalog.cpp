#include "sim/config/catalog.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <system_error>

#include "sim/base/suggest.hpp"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

// In the order in which they are looked for.
constexpr std::array<const char*, 3> kExtensions{".yaml", ".yml", ".json"};

std::string singular(const std::string& kind) {
  return kind.ends_with('s') ? kind.substr(0, kind.size() - 1) : kind;
}

bool is_file(const fs::path& path) {
  std::error_code status;
  return fs::exists(path, status) && !fs::is_directory(path, status);
}

// The file that `text`, said at `mark`, means: first beside the file that says it.
std::optional<fs::path> find_path(const std::string& kind, const std::string& text,
                                  const Mark& mark) {
  const fs::path given(text);
  std::vector<fs::path> places;
  if (given.is_relative() && mark.line > 0) {
    places.push_back(fs::path(mark.file).parent_path() / given);
  }
  places.push_back(given);
  for (const fs::path& place : places) {
    if (is_file(place)) return place;
    if (kind == "models" && is_file(place / "config.json")) return place / "config.json";
  }
  return std::nullopt;
}

// What a path is called: its stem, or the directory's name when the directory was given.
std::string name_of_path(const std::string& text) {
  fs::path path(text);
  if (!path.has_filename()) path = path.parent_path();
  return path.has_extension() && is_path(path.filename().string()) ? path.stem().string()
                                                                   : path.filename().string();
}

// A runtime may build on another, and that on a third: `base` names it.
constexpr int kMostBases = 4;

Value with_base(const std::string& kind, Value v, int above = 0) {
  const Value* base = v.find("base");
  if (kind != "runtimes" || !base || !base->is_scalar()) return v;
  const std::string file = catalog_file(kind, base->as_scalar().text, base->mark());
  if (above == kMostBases)
    throw UserError(base->mark(), "runtime: too many bases, or one that is its own");
  const Value below = with_base(kind, parse_file(file), above + 1);
  if (!below.is_map()) throw UserError(base->mark(), "runtime: its base is no mapping");
  v.erase("base");
  return merged(below, v);
}

Value load_map(const std::string& kind, const std::string& path) {
  Value v = parse_file(path);
  if (!v.is_map()) {
    throw UserError(v.mark(), "expected a " + singular(kind) + ": a mapping of keys to values");
  }
  return with_base(kind, std::move(v));
}

// The file behind a name or path, with `name` set.
Value load_named(const std::string& kind, const Value& reference) {
  const std::string& text = reference.as_scalar().text;
  const Mark& mark = reference.mark();
  if (!is_path(text)) {
    Value v = load_map(kind, catalog_file(kind, text, mark));
    v.set("name", Value::scalar(text, mark));
    return v;
  }
  const std::optional<fs::path> path = find_path(kind, text, mark);
  if (!path) throw UserError(mark, singular(kind) + ": no such file '" + text + "'");
  Value v = load_map(kind, path->string());
  const Value* own = v.find("name");
  if (!own || !own->is_scalar()) v.set("name", Value::scalar(name_of_path(text), mark));
  return v;
}

}  // namespace

std::string configs_directory() {
  if (const char* set = std::getenv("REHEARSE_CONFIGS"); set && *set != '\0') return set;
  std::error_code status;
  const fs::path executable = fs::read_symlink("/proc/self/exe", status);
  if (!status) {
    const fs::path installed =
        (executable.parent_path() / ".." / "share" / "rehearse" / "configs").lexically_normal();
    if (fs::is_directory(installed, status)) return installed.string();
  }
#ifdef REHEARSE_SOURCE_CONFIGS
  return REHEARSE_SOURCE_CONFIGS;
#else
  return "configs";
#endif
}

std::vector<std::string> catalog_names(const std::string& kind) {
  std::vector<std::string> names;
  std::error_code status;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(fs::path(configs_directory()) / kind, status)) {
    const std::string extension = entry.path().extension().string();
    if (std::find(kExtensions.begin(), kExtensions.end(), extension) == kExtensions.end()) continue;
    names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

bool is_path(const std::string& text) {
  return text.find('/') != std::string::npos ||
         std::any_of(kExtensions.begin(), kExtensions.end(),
                     [&](const char* extension) { return text.ends_with(extension); });
}

std::string catalog_file(const std::string& kind, const std::string& name, const Mark& mark) {
  const fs::path folder = fs::path(configs_directory()) / kind;
  for (const char* extension : kExtensions) {
    const fs::path path = folder / (name + extension);
    if (!name.empty() && is_file(path)) return path.string();
  }
  const std::vector<std::string> names = catalog_names(kind);
  std::string hint = suggestion(name, names);
  if (names.empty()) hint = "there are none in " + folder.string();
  throw UserError(
      {Diagnostic{mark, "unknown " + singular(kind) + " '" + name + "'", std::move(hint), true}});
}

Value merged_reference(const Value& base, const Value& over) {
  if (!base.is_scalar() || !over.is_map() || over.find("name")) return merged(base, over);
  Value result = over;
  result.set("name", base);
  return result;
}

Value resolve(const std::string& kind, const Value& field) {
  const std::string what = singular(kind);
  if (field.is_scalar()) return load_named(kind, field);
  if (!field.is_map()) {
    throw UserError(field.key_mark(), what + ": expected a name, a path or a mapping");
  }
  const Value* name = field.find("name");
  if (!name || name->is_null() || (name->is_scalar() && name->as_scalar().text == "inline")) {
    Value inline_value = field;
    inline_value.set("name", Value::scalar("inline", field.mark()));
    return inline_value;
  }
  if (!name->is_scalar()) throw UserError(name->key_mark(), what + ".name: expected a name");
  const Value base = load_named(kind, *name);
  Value overrides = field;
  overrides.erase("name");
  // A cluster's file names its GPU; overriding a field of it keeps that name.
  const Value* gpu = overrides.find("gpu");
  const Value* base_gpu = base.find("gpu");
  if (gpu && base_gpu) overrides.set("gpu", merged_reference(*base_gpu, *gpu));
  return merged(base, overrides);
}

}  // namespace rehearse
