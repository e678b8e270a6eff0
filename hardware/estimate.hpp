#pragma once

#include <filesystem>
#include <string>

#include "sim/base/error.hpp"
#include "sim/base/quantity.hpp"
#include "sim/config/catalog.hpp"

namespace rehearse {

// A kernel's time at burst clocks in its parts: fixed + max(compute, memory). `compute` follows the
// clock of the SMs (matrix products, instruction issue), `memory` does not; each is already divided
// by its efficiency.
struct KernelEstimate {
  Seconds compute{0};
  Seconds memory{0};
  Seconds fixed{0};
};

// The measured time `total` told as one efficiency of both bounds: max(compute, memory) = total.
inline KernelEstimate with_shared_efficiency(Seconds compute, Seconds memory, Seconds total) {
  const double stretch = ratio(total, max(compute, memory));
  return {compute * stretch, memory * stretch, Seconds(0)};
}

// A table's path is relative to the GPU file that names it, wherever that file was taken from.
inline std::string beside_gpu_file(const Mark& mark, const std::string& path) {
  const std::filesystem::path folder = mark.file.empty()
                                           ? std::filesystem::path(configs_directory()) / "gpus"
                                           : std::filesystem::path(mark.file).parent_path();
  return (folder / path).string();
}

}  // namespace rehearse
