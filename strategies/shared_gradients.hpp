#pragma once

#include <span>

#include "models/model.hpp"
#include "strategies/data/data_parallel.hpp"
#include "strategies/plan.hpp"
#include "strategies/step_writer.hpp"

namespace rehearse {

// Reduces gradients of parameters that ranks share for other reasons than data parallelism: of
// norms and biases whose inputs are cut along the sequence, of a tied embedding that the first and
// the last stage hold (Megatron's finalize_model_grads), and of the stages of which another
// pipeline rank has copies. `units`: of the pipeline's rank `pipeline_rank`.
void reduce_shared_gradients(StepWriter& w, const ResolvedPlan& plan, const Model& model,
                             std::span<const Unit> units, int pipeline_rank);

}  // namespace rehearse
