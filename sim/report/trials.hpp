#pragma once

#include <vector>

#include "sim/base/quantity.hpp"

namespace rehearse {

// Steps whose times vary at random, each simulated once.
struct Trials {
  std::vector<Seconds> step_times;  // in order of trial; empty: nothing varies
  Seconds mean{0}, deviation{0};    // standard deviation of a step
  // Of the mean: 95 of 100 such intervals contain the true one (Student's t).
  Seconds interval_low{0}, interval_high{0};
  Seconds least{0}, most{0};
};

// Precondition: at least one.
Trials summarise_trials(std::vector<Seconds> step_times);

}  // namespace rehearse
