#include <algorithm>

#include "strategies/inference/inference.hpp"

namespace rehearse {
namespace {

TensorId add_tensor(OpGraph& g, Tensor t) {
  g.tensors.push_back(std::move(t));
  return static_cast<TensorId>(g.tensors.size() - 1);
}

Op* find(OpGraph& g, OpKind kind) {
  const auto it =
      std::find_if(g.ops.begin(), g.ops.end(), [&](const Op& o) { return o.kind == kind; });
  return it == g.ops.end() ? nullptr : &*it;
}

// Statistics are for backward alone.
void drop_statistics(OpGraph& g) {
  for (Op& op : g.ops)
    std::erase_if(op.outputs,
                  [&](TensorId t) { return g.tensor(t).kind == TensorKind::kStatistic; });
}

// Keys and values of one layer: [tokens, batch, heads, head size] of what `like` is of a pass.
TensorId cache_of(OpGraph& g, const std::string& name, TensorId like, std::int64_t tokens) {
  Tensor t = g.tensor(like);
  t.name = name;
  t.kind = TensorKind::kInput;
  t.view_of = kNoTensor;
  for (Dim& d : t.dims)
    if (d.axis == Axis::kSequence) d = {Axis::kKeySequence, tokens};
  return add_tensor(g, t);
}

// The new keys and values go into the cache before attention, which in decode reads all of it.
void keep_keys(OpGraph& g, const ResolvedPlan& plan) {
  const bool decode = plan.task == Task::kDecode;
  std::size_t at = 0;  // the first operator that reads keys
  while (at < g.ops.size() && g.ops[at].kind != OpKind::kAttention) ++at;
  Op update{OpKind::kCacheUpdate, "cache_update", {}, {}, {}};
  for (std::size_t i : {1U, 2U}) {
    const TensorId fresh = g.ops[at].inputs[i];
    const std::int64_t tokens =
        decode ? plan.inference.context_length + 1 : plan.inference.prompt_length;
    const std::string name = i == 1 ? "k_cache" : "v_cache";
    const TensorId cache = cache_of(g, name, fresh, tokens);
    Tensor updated = g.tensor(cache);
    updated.name += ".updated";
    updated.kind = TensorKind::kActivation;
    updated.view_of = cache;
    update.inputs.push_back(fresh);
    update.outputs.push_back(add_tensor(g, updated));
    if (decode) g.ops[at].inputs[i] = update.outputs.back();
  }
  g.ops.insert(g.ops.begin() + static_cast<std::ptrdiff_t>(at), std::move(update));
}

// The last position alone meets the head, and the largest logit is the token.
void keep_last_token(OpGraph& g) {
  Tensor last = g.tensor(g.input);
  last.name = "last";
  last.kind = TensorKind::kActivation;
  last.view_of = g.input;
  const TensorId head_in = g.input, view = add_tensor(g, last);
  for (std::size_t t = 0; t < g.tensors.size(); ++t)
    if (static_cast<TensorId>(t) != head_in)
      for (Dim& d : g.tensors[t].dims)
        if (d.axis == Axis::kSequence) d.size = 1;
  for (Op& op : g.ops) std::replace(op.inputs.begin(), op.inputs.end(), head_in, view);
  const Op* head = nullptr;
  std::erase_if(g.ops,
                [](const Op& o) { return o.kind == OpKind::kCrossEntropy || o.name == "cast"; });
  for (const Op& op : g.ops)
    if (op.name == "head") head = &op;
  const TensorId logits = head->outputs[0];
  Tensor tokens = g.tensor(logits);
  tokens.name = "next_tokens";
  tokens.dtype = DType::kInt64;
  tokens.dims.back() = {Axis::kNone, 1};
  g.output = add_tensor(g, tokens);
  g.ops.push_back({OpKind::kArgMax, "argmax", {logits}, {}, {g.output}});
}

}  // namespace

ModelGraphs inference_graphs(ModelGraphs graphs, const ResolvedPlan& plan) {
  for (OpGraph* g : {&graphs.embedding, &graphs.block, &graphs.head}) drop_statistics(*g);
  if (find(graphs.block, OpKind::kAttention) != nullptr) keep_keys(graphs.block, plan);
  keep_last_token(graphs.head);
  return graphs;
}

Bytes cache_bytes_per_token(const Model& model, DType type) {
  return Bytes(2 * model.layers * model.kv_heads * model.head_size * size_of(type).value);
}

}  // namespace rehearse
