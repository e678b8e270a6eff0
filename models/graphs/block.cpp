#include "models/graphs/builder.hpp"

namespace rehearse {

TensorId mlp(GraphBuilder& g, TensorId x, const std::string& prefix, std::int64_t intermediate,
             bool bias) {
  const Model& m = g.model();
  const Dim inner{Axis::kIntermediate, intermediate};
  TensorId y = kNoTensor;
  if (m.activation == ActivationKind::kSwiGlu) {
    const TensorId gate_up = g.linear(prefix + "up", x, {Axis::kGateUp, 2 * intermediate}, bias);
    y = g.swiglu(prefix + "swiglu", gate_up, inner, prefix + "silu");
  } else {
    const TensorId up = g.linear(prefix + "up", x, inner, bias);
    y = g.activation(prefix + "gelu_out", g.tensor(up).dims, g.compute_dtype());
    g.op(OpKind::kGelu, prefix + "gelu", {up}, {}, {y});
  }
  return g.linear(prefix + "down", y, {Axis::kHidden, m.hidden}, bias);
}

// A pre-norm transformer layer: x + attention(norm(x)), then x + mlp(norm(x)).
OpGraph build_block(const Model& model, const GraphOptions& options, LayerKind kind) {
  GraphBuilder g("block", model, options);
  g.make_trainable(kind.trains);
  const TensorId in =
      g.input("block_in", g.tokens({{Axis::kHidden, model.hidden}}), g.residual_dtype());
  // What a module is called with lives until it returns.
  const TensorId normed = g.norm("norm1", in);
  TensorId y = g.adapter("attention_adapter", attention(g, normed));
  g.last().holds.push_back(normed);
  const TensorId middle = g.add("add1", in, g.dropout("proj_dropout", y));
  const TensorId x = g.norm("norm2", middle);
  y = g.adapter("mlp_adapter", kind.experts ? expert_mlp(g, x)
                                            : mlp(g, x, "", model.intermediate, model.mlp_bias));
  g.last().holds.push_back(x);
  const TensorId out = g.add("add2", middle, g.dropout("mlp_dropout", y));
  return g.finish(in, out);
}

}  // namespace rehearse
