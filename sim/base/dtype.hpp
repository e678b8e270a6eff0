#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "sim/base/quantity.hpp"

namespace rehearse {

// tf32 is a compute type: its tensors are stored as fp32.
enum class DType : std::uint8_t { kFp32, kTf32, kBf16, kFp16, kFp8, kInt64, kBool };

constexpr Bytes size_of(DType t) {
  switch (t) {
    case DType::kFp32:
    case DType::kTf32:
      return Bytes(4);
    case DType::kBf16:
    case DType::kFp16:
      return Bytes(2);
    case DType::kFp8:
    case DType::kBool:
      return Bytes(1);
    case DType::kInt64:
      return Bytes(8);
  }
  return Bytes(0);
}

// Whether a tensor of it can have a gradient.
constexpr bool is_floating(DType t) { return t != DType::kInt64 && t != DType::kBool; }
std::string_view to_string(DType t);
// "fp32", "tf32", "bf16", "fp16", "fp8", "int64", "bool".
std::optional<DType> dtype_from_string(std::string_view s);

}  // namespace rehearse
