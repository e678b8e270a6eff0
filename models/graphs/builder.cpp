#include "models/graphs/builder.hpp"

#include <utility>

namespace rehearse {

namespace {

// tf32 is how a product is computed, not how a tensor is stored.
DType stored(DType t) { return t == DType::kTf32 ? DType::kFp32 : t; }

// Dimensions before an activation's features: sequence and batch, or rows.
std::size_t leading(const std::vector<Dim>& dims) { return dims.at(0).axis == Axis::kRows ? 1 : 2; }

}  // namespace

GraphBuilder::GraphBuilder(std::string name, const Model& model, const GraphOptions& options)
    : model_(&model), options_(&options) {
  graph_.name = std::move(name);
  makes_trainable_ = options.fine_tuning.kind == FineTuning::Kind::kNone;
}

DType GraphBuilder::compute_dtype() const { return stored(options_->compute); }

DType GraphBuilder::residual_dtype() const {
  return options_->autocast ? DType::kFp32 : compute_dtype();
}

std::vector<Dim> GraphBuilder::tokens(std::vector<Dim> features) const {
  std::vector<Dim> dims{{Axis::kSequence, options_->sequence}, {Axis::kBatch, options_->batch}};
  dims.insert(dims.end(), features.begin(), features.end());
  return dims;
}

std::vector<Dim> GraphBuilder::score_dims() const {
  return {{Axis::kBatch, options_->batch},
          {Axis::kHeads, model_->heads},
          {Axis::kSequence, options_->sequence},
          {Axis::kKeySequence, options_->sequence}};
}

TensorId GraphBuilder::add_tensor(Tensor t) {
  graph_.tensors.push_back(std::move(t));
  return static_cast<TensorId>(graph_.tensors.size() - 1);
}

TensorId GraphBuilder::input(std::string name, std::vector<Dim> dims, DType dtype) {
  return add_tensor(
      {std::move(name), std::move(dims), dtype, TensorKind::kInput, kNoTensor, false, true});
}

TensorId GraphBuilder::parameter(std::string name, std::vector<Dim> dims) {
  return add_tensor({std::move(name), std::move(dims), stored(options_->parameters),
                     TensorKind::kParameter, kNoTensor, makes_experts_, makes_trainable_});
}

TensorId GraphBuilder::view(std::string name, TensorId base, std::vector<Dim> dims) {
  const Tensor& of = graph_.tensor(base);
  return add_tensor({std::move(name), std::move(dims), of.dtype, of.kind, base, false, true});
}

TensorId GraphBuilder::activation(std::string name, std::vector<Dim> dims, DType dtype) {
  return add_tensor(
      {std::move(name), std::move(dims), dtype, TensorKind::kActivation, kNoTensor, false, true});
}

TensorId GraphBuilder::statistic(std::string name, std::vector<Dim> dims, DType dtype) {
  return add_tensor(
      {std::move(name), std::move(dims), dtype, TensorKind::kStatistic, kNoTensor, false, true});
}

Op& GraphBuilder::op(OpKind kind, std::string name, std::vector<TensorId> inputs,
                     std::vector<TensorId> parameters, std::vector<TensorId> outputs) {
  Op op;
  op.kind = kind;
  op.name = std::move(name);
  op.inputs = std::move(inputs);
  op.parameters = std::move(parameters);
  op.outputs = std::move(outputs);
  graph_.ops.push_back(std::move(op));
  return graph_.ops.back();
}

TensorId GraphBuilder::norm(const std::string& name, TensorId x) {
  const Dim hidden{Axis::kHidden, model_->hidden};
  const bool layer_norm = model_->norm == NormKind::kLayerNorm;
  std::vector<TensorId> parameters{parameter(name + ".weight", {hidden})};
  if (model_->norm_bias) parameters.push_back(parameter(name + ".bias", {hidden}));
  std::vector<TensorId> outputs{activation(name + "_out", tokens({hidden}), residual_dtype())};
  if (layer_norm) outputs.push_back(statistic(name + ".mean", tokens({}), DType::kFp32));
  outputs.push_back(statistic(name + ".rstd", tokens({}), DType::kFp32));
  const TensorId result = outputs.front();
  op(layer_norm ? OpKind::kLayerNorm : OpKind::kRmsNorm, name, {x}, std::move(parameters),
     std::move(outputs));
  return result;
}

TensorId GraphBuilder::last_norm(const std::string& name, TensorId x) {
  const std::vector<Dim> dims = graph_.tensor(x).dims;
  const TensorId weight = parameter(name + ".weight", {dims.back()});
  const TensorId result = activation(name + "_out", dims, compute_dtype());
  const TensorId rstd = statistic(name + ".rstd", {dims.begin(), dims.end() - 1}, DType::kFp32);
  op(OpKind::kRmsNorm, name, {x}, {weight}, {result, rstd});
  return result;
}

TensorId GraphBuilder::linear(const std::string& name, TensorId x, Dim out, bool bias,
                              const std::string& result_name, const std::string& weight_name) {
  return low_rank(name, x, product(name, x, out, bias, result_name, weight_name), out);
}

TensorId GraphBuilder::low_rank(const std::string& name, TensorId x, TensorId y, Dim out,
                                const std::string& result_name) {
  const FineTuning& how = options_->fine_tuning;
  if (how.kind != FineTuning::Kind::kLora || !how.targeted(name)) return y;
  const bool frozen = !makes_trainable_;
  makes_trainable_ = true;
  const TensorId narrow = product(name + ".lora_down", x, {Axis::kNone, how.rank}, false, {}, {});
  const TensorId wide = product(name + ".lora_up", narrow, out, false, {}, {});
  makes_trainable_ = !frozen;
  const std::vector<Dim> dims = graph_.tensor(y).dims;
  const TensorId scaled =
      activation(name + ".lora_scale_out", graph_.tensor(wide).dims, compute_dtype());
  op(OpKind::kScale, name + ".lora_scale", {wide}, {}, {scaled});
  const TensorId sum =
      activation(result_name.empty() ? name + ".lora_add_out" : result_name, dims, compute_dtype());
  op(OpKind::kAdd, name + ".lora_add", {y, scaled}, {}, {sum});
  return sum;
}

TensorId GraphBuilder::adapter(const std::string& name, TensorId x) {
  const FineTuning& how = options_->fine_tuning;
  if (how.kind != FineTuning::Kind::kAdapter) return x;
  const bool frozen = !makes_trainable_;
  makes_trainable_ = true;
  const TensorId narrow = product(name + ".down", x, {Axis::kNone, how.rank}, false, {}, {});
  const TensorId bent = activation(name + ".gelu_out", graph_.tensor(narrow).dims, compute_dtype());
  op(OpKind::kGelu, name + ".gelu", {narrow}, {}, {bent});
  const TensorId wide = product(name + ".up", bent, {Axis::kHidden, model_->hidden}, false, {}, {});
  makes_trainable_ = !frozen;
  const TensorId sum = activation(name + ".add_out", graph_.tensor(x).dims, compute_dtype());
  op(OpKind::kAdd, name + ".add", {x, wide}, {}, {sum});
  return sum;
}

TensorId GraphBuilder::product(const std::string& name, TensorId x, Dim out, bool bias,
                               const std::string& result_name, const std::string& weight_name) {
  std::vector<Dim> dims = graph_.tensor(x).dims;
  const std::size_t features = leading(dims);
  Dim in = dims.at(features);
  for (std::size_t i = features + 1; i < dims.size(); ++i) in.size *= dims[i].size;
  dims.resize(features);
  dims.push_back(out);
  x = cast(name + "_cast", x, compute_dtype());
  std::vector<TensorId> parameters{
      parameter(weight_name.empty() ? name + ".weight" : weight_name, {out, in})};
  if (bias) parameters.push_back(parameter(name + ".bias", {out}));
  const TensorId result =
      activation(result_name.empty() ? name + "_out" : result_name, dims, compute_dtype());
  op(OpKind::kLinear, name, {x}, std::move(parameters), {result});
  return result;
}

TensorId GraphBuilder::add(const std::string& name, TensorId residual, TensorId x) {
  const TensorId result = activation(name + "_out", graph_.tensor(residual).dims, residual_dtype());
  op(OpKind::kAdd, name, {residual, x}, {}, {result});
  return result;
}

TensorId GraphBuilder::cast(const std::string& name, TensorId x, DType to,
                            const std::string& result_name) {
  if (graph_.tensor(x).dtype == to) return x;
  const TensorId result =
      activation(result_name.empty() ? name + "_out" : result_name, graph_.tensor(x).dims, to);
  op(OpKind::kCast, name, {x}, {}, {result});
  return result;
}

TensorId GraphBuilder::dropout(const std::string& name, TensorId x) {
  if (options_->dropout <= 0) return x;
  const std::vector<Dim> dims = graph_.tensor(x).dims;
  const TensorId result = activation(name + "_out", dims, graph_.tensor(x).dtype);
  const TensorId mask = statistic(name + ".mask", dims, DType::kBool);
  op(OpKind::kDropout, name, {x}, {}, {result, mask});
  return result;
}

TensorId GraphBuilder::swiglu(const std::string& name, TensorId gate_up, Dim inner,
                              const std::string& silu_name, TensorId weights) {
  std::vector<Dim> dims = graph_.tensor(gate_up).dims;
  dims.back() = inner;
  const TensorId result = activation(name + "_out", dims, compute_dtype());
  // Eager PyTorch computes silu(gate) and then the product, whose backward needs both factors.
  const TensorId silu = activation(silu_name, dims, compute_dtype());
  std::vector<TensorId> inputs{gate_up};
  if (weights != kNoTensor) inputs.push_back(weights);
  op(OpKind::kSwiGlu, name, std::move(inputs), {}, {result, silu});
  return result;
}

OpGraph GraphBuilder::finish(TensorId input, TensorId output) {
  graph_.input = input;
  graph_.output = output;
  check_graph(graph_);
  return std::move(graph_);
}

}  // namespace rehearse
