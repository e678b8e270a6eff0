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
  // Of two kinds of layers the more frequent one is the block.
  std::int64_t with = 0;
  for (std::int64_t l = 0; l < model.layers; ++l) with += model.has_experts(l);
  const bool usual = 2 * with > model.layers;
  ModelGraphs out{
      model, options, build_embedding(model, options), build_block(model, options, usual),
      {},    {},      build_head(model, options)};
  if (with == 0 || with == model.layers) return out;
  out.variants.push_back(build_block(model, options, !usual));
  for (std::int64_t l = 0; l < model.layers; ++l)
    out.layer_variants.push_back(model.has_experts(l) == usual ? -1 : 0);
  return out;
}

const OpGraph& layer_graph(const ModelGraphs& graphs, std::int64_t layer) {
  const int variant =
      graphs.layer_variants.empty() ? -1 : graphs.layer_variants[static_cast<std::size_t>(layer)];
  return variant < 0 ? graphs.block : graphs.variants[static_cast<std::size_t>(variant)];
}

}  // namespace rehearse
