#include "models/graphs/builder.hpp"

namespace rehearse {

// Final norm, projection to the vocabulary, and the loss of next-token prediction in fp32.
OpGraph build_head(const Model& model, const GraphOptions& options) {
  GraphBuilder g("head", model, options);
  const Dim vocabulary{Axis::kVocabulary, model.vocabulary};
  const TensorId in =
      g.input("head_in", g.tokens({{Axis::kHidden, model.hidden}}), g.residual_dtype());
  const TensorId targets =
      g.input("targets", {{Axis::kBatch, options.batch}, {Axis::kSequence, options.sequence}},
              DType::kInt64);

  const TensorId x = g.norm("final_norm", in);
  TensorId logits = g.linear("head", x, vocabulary, false, "logits",
                             model.tied ? "token_embedding.weight" : "head.weight");
  g.last().holds.push_back(x);
  const TensorId returned = logits;
  logits = g.cast("cast", logits, DType::kFp32, "logits_fp32");

  const TensorId loss = g.activation("loss", {{Axis::kNone, 1}}, DType::kFp32);
  const TensorId log_probabilities =
      g.statistic("log_probabilities", g.tokens({vocabulary}), DType::kFp32);
  g.op(OpKind::kCrossEntropy, "loss", {logits, targets}, {}, {loss, log_probabilities});
  g.last().holds.push_back(returned);
  return g.finish(in, loss);
}

}  // namespace rehearse
