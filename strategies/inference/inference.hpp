#pragma once

#include "models/op_graph.hpp"
#include "strategies/plan.hpp"
#include "strategies/rank_builder.hpp"

namespace rehearse {

// Inference as a forward-only program: the model's graphs, edited, and one pass of them.
//
// Model. Prefill runs a prompt of every sequence through the model and keeps its keys and values;
// decode runs one token of each and attends to what was kept. Only the last position of each
// sequence meets the head, whose largest logit is the next token. Keys and values are kept as
// [batch, heads, tokens, head size], allocated once for the longest that they will be; of latent
// attention (DeepSeek-AI 2024) the latents are kept instead (LatentForm). The stages
// of a pipeline run one after the other: the last one's tokens are what the first begins its next
// step with, so that one batch gains nothing from more of them.

// The graphs of training without the loss, with the cache. `graphs` are of plan.training's shape.
ModelGraphs inference_graphs(ModelGraphs graphs, const ResolvedPlan& plan);

// Columns of what one of `tensor` tensor-parallel ranks keeps of a token in each layer: keys and
// values, or the latent with the rotated part of the key, which every rank has whole.
std::vector<std::int64_t> cache_columns(const Model& model, int tensor);
// Bytes of those that a token needs over the whole model, unsharded.
Bytes cache_bytes_per_token(const Model& model, DType type);

// Writes the steps of one rank.
void build_inference_rank(Program& program, RankProgram& rank, const SimulatedRank& simulated,
                          const ResolvedPlan& plan, const Model& model, const Runtime& runtime,
                          const SharedSegments& shared);

}  // namespace rehearse
