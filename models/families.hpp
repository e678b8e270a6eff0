#pragma once

#include <span>
#include <string_view>

#include "models/model.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {

// A `model_type` that read_model() knows: how its Hugging Face keys become a Model. `read` reports
// mistakes through the reader and always returns; it need not fill `name` and `family`.
struct ModelFamily {
  std::string_view name;  // model_type
  std::string_view summary;
  Model (*read)(Reader& reader);
};

std::span<const ModelFamily> model_families();

}  // namespace rehearse
