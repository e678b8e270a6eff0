#pragma once

#include "strategies/plan.hpp"
#include "strategies/step_writer.hpp"

namespace rehearse {

// The update of `elements` parameters in `tensors` tensors, as one fused multi-tensor pass over
// parameters, gradients, moments and, where there are any, fp32 master weights.
void optimizer_step(StepWriter& w, const ResolvedPlan& plan, std::int64_t elements,
                    std::int64_t tensors);

// What an update reads and writes.
Bytes update_traffic(const ResolvedPlan& plan, std::int64_t elements);
// Moments and master weights of `elements` parameters.
Bytes optimizer_state_bytes(const ResolvedPlan& plan, std::int64_t elements);

}  // namespace rehearse
