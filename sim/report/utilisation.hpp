#pragma once

#include "sim/report/breakdown.hpp"

namespace rehearse {

// The part of the step in which a GPU computes, as the mean over all ranks: a rank that waits for a
// slower one, for a message or for its host does not. A simulated rank counts for those it stands
// for.
double utilisation(const TaskGraph& graph, const Timeline& timeline, const Annotations& notes,
                   const StepWindow& window);

}  // namespace rehearse
