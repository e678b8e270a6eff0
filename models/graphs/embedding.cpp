#include "models/graphs/builder.hpp"

namespace rehearse {

// token ids -> token embedding [-> + learned positions] [-> dropout].
OpGraph build_embedding(const Model& model, const GraphOptions& options) {
  GraphBuilder g("embedding", model, options);
  const Dim hidden{Axis::kHidden, model.hidden};
  const TensorId ids =
      g.input("token_ids", {{Axis::kBatch, options.batch}, {Axis::kSequence, options.sequence}},
              DType::kInt64);

  const TensorId table =
      g.parameter("token_embedding.weight", {{Axis::kVocabulary, model.vocabulary}, hidden});
  TensorId x = g.activation("token_embedding_out", g.tokens({hidden}), g.residual_dtype());
  g.op(OpKind::kEmbedding, "token_embedding", {ids}, {table}, {x});

  if (model.position == PositionKind::kLearned) {
    const TensorId positions =
        g.parameter("position_embedding.weight", {{Axis::kNone, model.max_positions}, hidden});
    const TensorId placed =
        g.activation("position_embedding_out", g.tokens({hidden}), g.residual_dtype());
    g.op(OpKind::kPositionEmbedding, "position_embedding", {x}, {positions}, {placed});
    x = placed;
  }
  x = g.dropout("embedding_dropout", x);
  return g.finish(ids, x);
}

}  // namespace rehearse
