#pragma once

#include "sim/base/quantity.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {

// How far the step may be off: the interval in which nine of ten measured steps should lie.
//
// Model. Each class of work is off by a factor of its own, alike for all of its kernels and
// independent of the other classes: products, attention, what memory and issue bound, communication
// inside a node and between nodes, waiting for other stages, the host. The factors' deviations are
// the residuals of the calibration (interval.cpp names them), larger where an efficiency is carried
// over from another GPU, and growing with the octaves by which a kernel's shape or a group's ranks
// lie outside of what was measured. Machines of one kind differ besides. So the step's deviation is
// the root of the sum of squares of part x deviation. The host is slow at times beyond that, and
// hidden no longer: the interval reaches to where a slow host alone would bound the step.
struct Interval {
  Seconds low{0}, high{0};
};
Interval step_interval(const Simulation& s);

}  // namespace rehearse
