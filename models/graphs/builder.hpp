#pragma once

#include <compare>
#include <string>
#include <vector>

#include "models/op_graph.hpp"

namespace rehearse {

// Writes an OpGraph operator by operator. Each method appends the operator, the parameters it
// needs and its outputs, and returns the result, so that a graph reads as the model's forward().
//
// It knows the types: without autocast every activation has the compute type; with it, embeddings
// and norms of the residual stream give fp32, an addition the wider of its inputs, and a matrix
// product casts what it reads to the compute type first.
class GraphBuilder {
 public:
  GraphBuilder(std::string name, const Model& model, const GraphOptions& options);

  const Model& model() const { return *model_; }
  const GraphOptions& options() const { return *options_; }

  DType compute_dtype() const;   // as stored: tf32 is fp32
  DType residual_dtype() const;  // of what flows from graph to graph
  // [sequence, batch, features...].
  std::vector<Dim> tokens(std::vector<Dim> features) const;
  // [batch, heads, sequence, key sequence].
  std::vector<Dim> score_dims() const;
  const Tensor& tensor(TensorId id) const { return graph_.tensor(id); }

  TensorId input(std::string name, std::vector<Dim> dims, DType dtype);
  TensorId parameter(std::string name, std::vector<Dim> dims);
  TensorId view(std::string name, TensorId base, std::vector<Dim> dims);

  TensorId norm(const std::string& name, TensorId x);       // over hidden, the model's kind
  TensorId last_norm(const std::string& name, TensorId x);  // RMS over the last dimension
  // `weight_name` replaces "<name>.weight", for a weight that another graph owns too.
  TensorId linear(const std::string& name, TensorId x, Dim out, bool bias,
                  const std::string& result_name = {}, const std::string& weight_name = {});
  // x -> x + W_up gelu(W_down x), where adapters are trained; else `x` itself.
  TensorId adapter(const std::string& name, TensorId x);
  // `y`, a projection of `x` or a part of one, with LoRA's product of low rank added where the
  // projection is a target: y + c W_up W_down x.
  TensorId low_rank(const std::string& name, TensorId x, TensorId y, Dim out,
                    const std::string& result_name = {});
  // silu(gate) * up of the fused projection's output, and times `weights` of each row.
  TensorId swiglu(const std::string& name, TensorId gate_up, Dim inner,
                  const std::string& silu_name = "silu", TensorId weights = kNoTensor);
  TensorId add(const std::string& name, TensorId residual, TensorId x);
  TensorId cast(const std::string& name, TensorId x, DType to, const std::string& result_name = {});
  // `x` itself when there is no dropout.
  TensorId dropout(const std::string& name, TensorId x);

  // An operator of any kind; tensors named in `outputs` are made by `activation` and `statistic`.
  TensorId activation(std::string name, std::vector<Dim> dims, DType dtype);
  TensorId statistic(std::string name, std::vector<Dim> dims, DType dtype);
  Op& op(OpKind kind, std::string name, std::vector<TensorId> inputs,
         std::vector<TensorId> parameters, std::vector<TensorId> outputs);

  Op& last() { return graph_.ops.back(); }
  // Parameters made from now on are those of routed experts, or no longer.
  void make_experts(bool on) { makes_experts_ = on; }
  // Parameters made from now on train, or are frozen.
  void make_trainable(bool on) { makes_trainable_ = on; }

  // Checks the graph (check_graph) and gives it away.
  OpGraph finish(TensorId input, TensorId output);

 private:
  TensorId add_tensor(Tensor t);
  // The product alone.
  TensorId product(const std::string& name, TensorId x, Dim out, bool bias,
                   const std::string& result_name, const std::string& weight_name);

  const Model* model_;
  const GraphOptions* options_;
  OpGraph graph_;
  bool makes_experts_ = false;
  bool makes_trainable_ = true;
};

OpGraph build_embedding(const Model& model, const GraphOptions& options);
// A layer, whose MLP is a mixture of experts or not, and whose own parameters train or not.
struct LayerKind {
  bool experts = false, trains = true;
  auto operator<=>(const LayerKind&) const = default;
};
OpGraph build_block(const Model& model, const GraphOptions& options, LayerKind kind);
TensorId attention(GraphBuilder& g, TensorId x);
TensorId mlp(GraphBuilder& g, TensorId x, const std::string& prefix, std::int64_t intermediate,
             bool bias);
TensorId expert_mlp(GraphBuilder& g, TensorId x);
OpGraph build_head(const Model& model, const GraphOptions& options);

}  // namespace rehearse
