#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/model.hpp"
#include "sim/config/fine_tuning.hpp"

namespace rehearse {

// Fine-tuning as the model alone says it: parameters that it adds (LoRA's products, adapters) and
// those that train. The graphs (GraphOptions::fine_tuning) say the same operator by operator.

// A product of a layer beside which LoRA's may be: [out, in]. "qkv" is one product; "q", "k" and
// "v" are its parts, each with products of its own.
struct Projection {
  std::string name;
  std::int64_t in = 0, out = 0;
};
std::vector<Projection> projections(const Model& model, std::int64_t layer);
// Of all layers, each once.
std::vector<std::string> projection_names(const Model& model);

// Parameters of the whole model with what fine-tuning adds, and those of them that train.
std::int64_t parameter_count(const Model& model, const FineTuning& fine_tuning);
std::int64_t trainable_parameter_count(const Model& model, const FineTuning& fine_tuning);

// The first layer with a parameter that trains; 0 where everything does.
std::int64_t first_trainable_layer(const Model& model, const FineTuning& fine_tuning);

// Parameters that one token meets in forward, of those the ones through which backward goes to
// inputs, the ones that train, and the layers that have a backward.
struct BackwardShare {
  std::int64_t forward = 0, inputs = 0, parameters = 0, layers = 0;
};
BackwardShare backward_share(const Model& model, const FineTuning& fine_tuning);

}  // namespace rehearse
