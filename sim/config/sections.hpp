#pragma once

#include <optional>
#include <string>

#include "sim/config/reader.hpp"
#include "sim/config/scenario.hpp"

namespace rehearse {

// The sections of a scenario, each read by one function. Private to this folder. None of them calls
// finish() on the reader that it is given: the caller still asks it which keys it knows.

// The field `precision` of `training`: a preset's name or a mapping.
Precision read_precision(Reader& training);
Training read_training(Reader& training);
// The fields `lora`, `adapter` and `trainable_layers` of `training`.
FineTuning read_fine_tuning(Reader& training);
// Of another task than training: `training` has the precision alone.
Training read_inference_training(Reader& training);
Serving read_serving(Reader& serving);
Inference read_inference(Reader& inference, Task task, const Precision& precision);
// Defaults that differ between frameworks follow `runtime_name`.
Plan read_plan(Reader& plan, const std::string& runtime_name);

Variation read_variation(Reader& variation);
std::optional<Failures> read_failures(Reader& failures);

}  // namespace rehearse
