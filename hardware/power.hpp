#pragma once

#include <string>

#include "sim/base/quantity.hpp"
#include "sim/config/reader.hpp"

namespace rehearse {

// What a GPU draws on average over a step: idle power, and what matrix products, device memory and
// links add in proportion to how much of their datasheet peak they reach, up to the power limit
// (past it the clock falls, which is modelled apart: Gpu::throttle_from). `limit` 0: not known.
struct PowerModel {
  Watts limit{0};
  Watts idle{0};     // clocks up, nothing running
  Watts compute{0};  // matrix products at the dense peak of their type
  Watts memory{0};   // device memory at its full bandwidth
  Watts link{0};     // sending at the full bandwidth of the links inside a node
  std::string source;

  // Of shares of those peaks, averaged over the time.
  Watts average(double compute_share, double memory_share, double link_share) const;
};

// The key `power` of a GPU file. `transfer: NAME` takes another GPU's, scaled by the limits.
PowerModel read_power(Reader& gpu);

}  // namespace rehearse
