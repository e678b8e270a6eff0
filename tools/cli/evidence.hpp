#pragma once

#include <string>
#include <vector>

#include "hardware/gpu.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {

// What a kernel's price rests on: where its efficiency was measured, and by how many octaves its
// sizes lie outside of what was.
struct Evidence {
  enum class Basis : std::uint8_t {
    kCalibrated,   // kernels of a training framework on this GPU
    kElsewhere,    // this GPU's kernels of another framework
    kTransferred,  // another GPU's, a datasheet, a published ratio
  };
  Basis basis = Basis::kCalibrated;
  double octaves = 0;
  std::string source;
};
Evidence evidence_of(const Gpu& gpu, const KernelWork& work);

// What of a step rests on constants that were not measured on its machines, the largest part first.
std::vector<CarriedOver> transfers_of(const Simulation& s);

}  // namespace rehearse
