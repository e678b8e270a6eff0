#include <stdexcept>
#include <string>

#include "models/graphs/builder.hpp"
#include "sim/base/error.hpp"

namespace rehearse {

ModelGraphs build_graphs(const Model& model, const GraphOptions& options) {
  if (options.batch < 1 || options.sequence < 1) {
    throw std::logic_error("build_graphs: batch and sequence must be positive");
  }
  if (model.position == PositionKind::kLearned && options.sequence > model.max_positions) {
    throw UserError(Mark{},
                    "a sequence of " + std::to_string(options.sequence) + " tokens does not fit '" +
                        model.name + "', which has " + std::to_string(model.max_positions) +
                        " learned positions",
                    "shorten sequence_length, or set the model's n_positions");
  }
  return {model, options, build_embedding(model, options), build_block(model, options),
          build_head(model, options)};
}

}  // namespace rehearse
