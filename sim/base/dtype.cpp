#include "sim/base/dtype.hpp"

#include <array>
#include <utility>

namespace rehearse {
namespace {

constexpr std::array<std::pair<DType, std::string_view>, 7> kNames{{
    {DType::kFp32, "fp32"},
    {DType::kTf32, "tf32"},
    {DType::kBf16, "bf16"},
    {DType::kFp16, "fp16"},
    {DType::kFp8, "fp8"},
    {DType::kInt64, "int64"},
    {DType::kBool, "bool"},
}};

}  // namespace

std::string_view to_string(DType t) {
  for (const auto& [type, name] : kNames) {
    if (type == t) return name;
  }
  return "?";
}

std::optional<DType> dtype_from_string(std::string_view s) {
  for (const auto& [type, name] : kNames) {
    if (name == s) return type;
  }
  return std::nullopt;
}

}  // namespace rehearse
