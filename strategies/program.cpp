#include "strategies/program.hpp"

#include <algorithm>

namespace rehearse {

std::string_view to_string(GroupKind g) {
  switch (g) {
    case GroupKind::kTensor:
      return "tp";
    case GroupKind::kContext:
      return "cp";
    case GroupKind::kData:
      return "dp";
    case GroupKind::kPipeline:
      return "pp";
    case GroupKind::kEmbedding:
      return "embedding";
  }
  return "";
}

std::string_view to_string(StreamKind s) {
  switch (s) {
    case StreamKind::kCompute:
      return "compute";
    case StreamKind::kData:
      return "nccl dp";
    case StreamKind::kSendNext:
      return "send next";
    case StreamKind::kSendPrevious:
      return "send previous";
    case StreamKind::kCopy:
      return "gather copy-in";
  }
  return "";
}

std::uint32_t Program::intern(const std::string& name) {
  const auto it = std::find(names.begin(), names.end(), name);
  if (it != names.end()) return static_cast<std::uint32_t>(it - names.begin());
  names.push_back(name);
  return static_cast<std::uint32_t>(names.size() - 1);
}

}  // namespace rehearse
