#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>

#include "models/graphs/builder.hpp"
#include "sim/base/error.hpp"

namespace rehearse {

namespace {

// Whether what a layer has without fine-tuning trains.
bool layer_trains(const FineTuning& how, std::int64_t layer) {
  if (how.kind == FineTuning::Kind::kNone) return true;
  return std::find(how.layers.begin(), how.layers.end(), layer) != how.layers.end();
}

}  // namespace

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
  std::vector<LayerKind> layers;
  std::map<LayerKind, std::int64_t> layers_of;
  for (std::int64_t l = 0; l < model.layers; ++l) {
    layers.push_back({model.has_experts(l), layer_trains(options.fine_tuning, l)});
    ++layers_of[layers.back()];
  }
  // The most frequent kind of layer is the block.
  LayerKind usual = layers_of.begin()->first;
  for (const auto& [kind, n] : layers_of)
    if (n > layers_of[usual]) usual = kind;
  ModelGraphs out{
      model, options, build_embedding(model, options), build_block(model, options, usual),
      {},    {},      build_head(model, options)};
  if (layers_of.size() <= 1) return out;
  std::map<LayerKind, int> variant{{usual, -1}};
  for (const auto& [kind, n] : layers_of) {
    if (!variant.try_emplace(kind, static_cast<int>(out.variants.size())).second) continue;
    out.variants.push_back(build_block(model, options, kind));
  }
  for (const LayerKind& kind : layers) out.layer_variants.push_back(variant[kind]);
  return out;
}

std::int64_t first_trainable(const ModelGraphs& graphs) {
  const auto any = [](const OpGraph& g) {
    return std::any_of(g.ops.begin(), g.ops.end(), [&](const Op& op) { return trains(g, op); });
  };
  if (any(graphs.embedding)) return 0;
  std::int64_t l = 0;
  while (l < graphs.model.layers && !any(layer_graph(graphs, l))) ++l;
  return 1 + l;
}

const OpGraph& layer_graph(const ModelGraphs& graphs, std::int64_t layer) {
  const int variant =
      graphs.layer_variants.empty() ? -1 : graphs.layer_variants[static_cast<std::size_t>(layer)];
  return variant < 0 ? graphs.block : graphs.variants[static_cast<std::size_t>(variant)];
}

}  // namespace rehearse
