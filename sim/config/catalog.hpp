#pragma once

#include <string>
#include <vector>

#include "sim/config/value.hpp"

namespace rehearse {

// The data that ships with the program: configs/<kind>/<name>.yaml (or .json). The directory is, in
// this order: $REHEARSE_CONFIGS, <executable>/../share/rehearse/configs, the source tree's configs.
// kinds: "models", "clusters", "gpus", "runtimes", "scenarios", "sweeps".
std::string configs_directory();

// Names of a kind, sorted.
std::vector<std::string> catalog_names(const std::string& kind);

// What a `model:`, `cluster:`, `gpu:` or `runtime:` field says, as a map: a name in the catalog, a
// path (it has a '/' or ends in .yaml, .yml or .json; relative to the directory of the file that
// says it, else to the working directory; for models also the directory of a config.json), or an
// inline mapping; a mapping with `name` takes that file and overrides, deeply, what else it gives.
// A runtime's file may say `base: NAME`: it is laid over that file of the catalog, deeply.
// The result keeps the name under `name`: the catalog's, else the one that the file gives, else the
// file's stem; "inline" for a mapping without one. Throws UserError with the nearest name.
Value resolve(const std::string& kind, const Value& field);

// As merged(), but where `over` is a mapping without `name` and `base` names something, the result
// is that name with overrides: "a100-sxm" and {memory: 60 GB} give {name: a100-sxm, memory: 60 GB}.
Value merged_reference(const Value& base, const Value& over);

// Whether a text names a file rather than a catalog entry.
bool is_path(const std::string& text);
// The file of a catalog entry; throws UserError at `mark` with the nearest name.
std::string catalog_file(const std::string& kind, const std::string& name, const Mark& mark);

}  // namespace rehearse
