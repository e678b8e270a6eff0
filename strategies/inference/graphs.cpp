#include <algorithm>
#include <set>
#include <utility>

#include "strategies/inference/inference.hpp"

namespace rehearse {
namespace {

TensorId add_tensor(OpGraph& g, Tensor t) {
  g.tensors.push_back(std::move(t));
  return static_cast<TensorId>(g.tensors.size() - 1);
}

// Statistics of these are for backward alone; those of routing are not.
void drop_statistics(OpGraph& g) {
  constexpr OpKind kOf[] = {OpKind::kLayerNorm, OpKind::kRmsNorm, OpKind::kAttention,
                            OpKind::kCrossEntropy};
  for (Op& op : g.ops)
    if (std::find(std::begin(kOf), std::end(kOf), op.kind) != std::end(kOf))
      std::erase_if(op.outputs,
                    [&](TensorId t) { return g.tensor(t).kind == TensorKind::kStatistic; });
}

void lengthen(Tensor& t, std::int64_t tokens) {
  for (Dim& d : t.dims)
    if (d.axis == Axis::kSequence) d = {Axis::kKeySequence, tokens};
}

// What a layer keeps of a pass, of all tokens in the cache.
TensorId cache_of(OpGraph& g, const std::string& name, TensorId like, std::int64_t tokens) {
  Tensor t = g.tensor(like);
  t.name = name;
  t.kind = TensorKind::kInput;
  t.view_of = kNoTensor;
  lengthen(t, tokens);
  return add_tensor(g, t);
}

// Everything up to attention that is made of what was cached is made of all of it.
void reach_back(OpGraph& g, std::size_t from, TensorId fresh, TensorId updated,
                std::int64_t tokens) {
  std::set<TensorId> made{updated};
  const auto views = [&] {
    for (std::size_t t = 0; t < g.tensors.size(); ++t) {
      Tensor& view = g.tensors[t];
      if (view.view_of == fresh && static_cast<TensorId>(t) != updated) view.view_of = updated;
      if (view.view_of != kNoTensor && made.contains(view.view_of) &&
          made.insert(static_cast<TensorId>(t)).second)
        lengthen(view, tokens);
    }
  };
  views();
  for (std::size_t i = from; i < g.ops.size(); ++i) {
    Op& op = g.ops[i];
    std::replace(op.inputs.begin(), op.inputs.end(), fresh, updated);
    if (op.kind == OpKind::kAttention) return;
    const bool reads = std::any_of(op.inputs.begin(), op.inputs.end(),
                                   [&](TensorId t) { return made.contains(t); });
    if (!reads) continue;
    for (const TensorId t : op.outputs)
      if (made.insert(t).second) lengthen(g.tensors[static_cast<std::size_t>(t)], tokens);
    views();
  }
}

// What is new goes into the cache (keys and values before attention, latents when they are made),
// and decode goes on with all that is in it.
void keep(OpGraph& g, const ResolvedPlan& plan) {
  const bool decode = plan.task == Task::kDecode;
  const std::int64_t tokens =
      decode ? plan.inference.context_length + 1 : plan.inference.prompt_length;
  std::size_t at = 0;  // where the update goes
  std::vector<std::pair<std::string, TensorId>> kept;
  for (; at < g.ops.size() && kept.empty(); ++at) {
    const Op& op = g.ops[at];
    if (op.kind == OpKind::kAttention) {
      kept = {{"k_cache", op.inputs[1]}, {"v_cache", op.inputs[2]}};
      break;
    }
    if (op.name == "latent_concatenate") kept = {{"latent_cache", op.outputs[0]}};
  }
  Op update{OpKind::kCacheUpdate, "cache_update", {}, {}, {}};
  std::vector<std::pair<TensorId, TensorId>> fresh;
  for (const auto& [name, tensor] : kept) {
    const TensorId cache = cache_of(g, name, tensor, tokens);
    Tensor updated = g.tensor(cache);
    updated.name += ".updated";
    updated.kind = TensorKind::kActivation;
    updated.view_of = cache;
    update.inputs.push_back(tensor);
    update.outputs.push_back(add_tensor(g, updated));
    fresh.emplace_back(tensor, update.outputs.back());
  }
  if (kept.empty()) return;
  g.ops.insert(g.ops.begin() + static_cast<std::ptrdiff_t>(at), std::move(update));
  if (!decode) return;
  for (const auto& [made, all] : fresh) reach_back(g, at + 1, made, all, tokens);
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
  const auto edit = [&](OpGraph& layer) {
    drop_statistics(layer);
    keep(layer, plan);
  };
  edit(graphs.block);
  for (OpGraph& layer : graphs.variants) edit(layer);
  drop_statistics(graphs.embedding);
  drop_statistics(graphs.head);
  keep_last_token(graphs.head);
  return graphs;
}

std::vector<std::int64_t> cache_columns(const Model& model, int tensor) {
  if (model.latent.rank > 0) return {model.latent.rank + model.latent.rotary};
  const std::int64_t heads = std::max<std::int64_t>(1, model.kv_heads / tensor);
  return {heads * model.head_size, heads * model.head_size};
}

Bytes cache_bytes_per_token(const Model& model, DType type) {
  std::int64_t columns = 0;
  for (const std::int64_t c : cache_columns(model, 1)) columns += c;
  return Bytes(model.layers * columns * size_of(type).value);
}

}  // namespace rehearse
