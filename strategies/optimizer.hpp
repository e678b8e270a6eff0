#pragma once

#include <vector>

#include "models/model.hpp"
#include "strategies/data/data_parallel.hpp"
#include "strategies/plan.hpp"
#include "strategies/step_writer.hpp"

namespace rehearse {

// The update of what a rank owns, as one fused multi-tensor pass over parameters, gradients,
// moments and, where there are any, fp32 master weights. A share `unused` of them has never had a
// gradient: Adam's divisions and roots of nothing take longer.
void optimizer_step(StepWriter& w, const ResolvedPlan& plan, const DataParallel& data,
                    double unused);
// Of a rank's trainable parameters, where every step trains on the same tokens, drawn at random:
// rows of the embedding that none of them has.
double share_without_gradient(const ResolvedPlan& plan, const Model& model,
                              const std::vector<Unit>& units);

// What an update reads and writes.
Bytes update_traffic(const ResolvedPlan& plan, std::int64_t elements);
// Moments and master weights of `elements` parameters.
Bytes optimizer_state_bytes(const ResolvedPlan& plan, std::int64_t elements);

}  // namespace rehearse
