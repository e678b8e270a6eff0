#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rehearse {

// Which parameters are trained, where not all are: one of these ways.
struct FineTuning {
  enum class Kind : std::uint8_t {
    kNone,     // every parameter
    kLora,     // two products of low rank beside each target, everything else frozen (Hu et al.)
    kAdapter,  // a bottleneck behind attention and behind the MLP (Houlsby et al. 2019)
    kLayers    // some layers as they are
  };
  Kind kind = Kind::kNone;
  std::int64_t rank = 0;             // of LoRA, or the columns of an adapter's bottleneck
  std::vector<std::string> targets;  // of LoRA: names of the model's projections
  std::int64_t last = 0;             // layers, counted from the end; 0: as listed
  std::vector<int> layers;           // that train, from 0 and in order

  bool targeted(const std::string& projection) const {
    for (const std::string& t : targets)
      if (t == projection) return true;
    return false;
  }
  bool operator==(const FineTuning&) const = default;
};

}  // namespace rehearse
