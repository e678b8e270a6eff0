#pragma once

#include <cstddef>
#include <vector>

#include "strategies/program.hpp"

namespace rehearse {

// Stretches of all ranks that go on side by side: most of a schedule with many micro-batches.
struct Phase {
  std::vector<StepList::Stretch> of_rank;
  std::size_t periods = 0;  // that all have

  // The call of a rank at which one of these periods begins, or the first after them all.
  std::size_t call(std::size_t rank, std::size_t period) const {
    return of_rank[rank].begin + period * of_rank[rank].period;
  }
};

// Stretches that are much of a step.
std::vector<StepList::Stretch> long_stretches(const StepList& steps);

// Of every rank its long stretches, where they correspond; none where they do not.
std::vector<Phase> phases_of(const Program& program);

}  // namespace rehearse
