#include "strategies/tensor/shard.hpp"

#include <algorithm>
#include <set>

namespace rehearse {
namespace {

std::int64_t divided_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

class Sharder {
 public:
  Sharder(const ModelGraphs& graphs, const TensorSharding& how)
      : model_(graphs.model), how_(how), experts_cut_(graphs.options.experts.cut) {}

  OpGraph block(OpGraph g) const {
    for (const char* name : {"qkv", "q_up", "kv_up", "up", "shared.up"})
      insert(g, name, OpKind::kGather);
    for (const char* name : {"proj", "down", "shared.down"}) insert(g, name, OpKind::kScatter);
    if (experts_cut_) {
      insert(g, has(g, "arrange") ? "arrange" : "experts.up", OpKind::kGather);
      // A whole activation is summed where it is smallest: a row a token, not one an expert.
      insert(g,
             !how_.sequence_parallel ? "combine"
             : has(g, "join")        ? "join"
                                     : "experts.down",
             OpKind::kScatter);
    }
    divide(g);
    return g;
  }

  OpGraph embedding(OpGraph g) const {
    if (how_.vocabulary_parallel || how_.sequence_parallel)
      insert(g, g.ops.front().name, OpKind::kScatter);
    divide(g);
    return g;
  }

  OpGraph head(OpGraph g) const {
    if (how_.vocabulary_parallel || how_.sequence_parallel) insert(g, "head", OpKind::kGather);
    divide(g);
    return g;
  }

 private:
  static bool has(const OpGraph& g, const std::string& name) {
    return std::any_of(g.ops.begin(), g.ops.end(), [&](const Op& o) { return o.name == name; });
  }

  // A gather goes before the operator `at`, a scatter after it.
  void insert(OpGraph& g, const std::string& at, OpKind kind) const {
    const auto it =
        std::find_if(g.ops.begin(), g.ops.end(), [&](const Op& o) { return o.name == at; });
    if (it == g.ops.end()) return;
    const bool before = kind == OpKind::kGather;
    // The sum with LoRA's product is what ranks meet over: both are parts of it.
    const std::size_t behind = before ? 0 : index_of(g, at + ".lora_add", it - g.ops.begin());
    const TensorId x = before ? it->inputs[0] : g.ops[behind].outputs[0];
    Tensor t = g.tensor(x);
    t.name += before ? ".gathered" : ".reduced";
    t.kind = TensorKind::kActivation;
    t.view_of = how_.sequence_parallel ? kNoTensor : x;
    const auto y = static_cast<TensorId>(g.tensors.size());
    g.tensors.push_back(t);
    Op op;
    op.kind = kind;
    op.name = at + (before ? ".gather" : ".scatter");
    op.inputs = {x};
    op.outputs = {y};
    if (before) {
      it->inputs[0] = y;
      for (Op& o : g.ops)
        if (is_low_rank_of(o, at)) std::replace(o.inputs.begin(), o.inputs.end(), x, y);
      g.ops.insert(it, op);
    } else {
      for (std::size_t i = 0; i < g.ops.size(); ++i)
        if (i != behind) std::replace(g.ops[i].inputs.begin(), g.ops[i].inputs.end(), x, y);
      if (g.output == x) g.output = y;
      g.ops.insert(g.ops.begin() + static_cast<std::ptrdiff_t>(behind) + 1, op);
    }
  }

  static std::size_t index_of(const OpGraph& g, const std::string& name, std::ptrdiff_t otherwise) {
    for (std::size_t i = 0; i < g.ops.size(); ++i)
      if (g.ops[i].name == name) return i;
    return static_cast<std::size_t>(otherwise);
  }

  // LoRA's first product beside a projection, or beside a part of the fused one.
  static bool is_low_rank_of(const Op& op, const std::string& projection) {
    const auto beside = [&](const std::string& name) { return op.name == name + ".lora_down"; };
    return beside(projection) ||
           (projection == "qkv" && (beside("q") || beside("k") || beside("v")));
  }

  std::int64_t share(const Dim& d) const {
    const std::int64_t t = how_.ranks;
    switch (d.axis) {
      case Axis::kHeads:
      case Axis::kIntermediate:
      case Axis::kGateUp:
        return d.size / t;
      case Axis::kKvHeads:
        return std::max<std::int64_t>(1, d.size / t);
      case Axis::kQkv:
        return (model_.heads / t + 2 * std::max<std::int64_t>(1, model_.kv_heads / t)) *
               model_.head_size;
      case Axis::kVocabulary:
        return how_.vocabulary_parallel ? divided_up(d.size, t) : d.size;
      case Axis::kNone:
      case Axis::kBatch:
      case Axis::kSequence:
      case Axis::kKeySequence:
      case Axis::kHidden:
      case Axis::kHeadSize:
      case Axis::kRows:
      case Axis::kExperts:
        return d.size;
    }
    return d.size;
  }

  void divide(OpGraph& g) const {
    // Tensors that are whole along the sequence under sequence parallelism.
    std::set<TensorId> whole;
    for (const Op& op : g.ops) {
      const bool entry = op.kind == OpKind::kEmbedding;
      if (op.kind == OpKind::kGather) whole.insert(op.outputs[0]);
      if (op.kind == OpKind::kScatter) whole.insert(op.inputs[0]);
      if (entry) whole.insert(op.inputs.begin(), op.inputs.end());
      if (op.kind != OpKind::kScatter && op.kind != OpKind::kGather)
        if (std::any_of(op.inputs.begin(), op.inputs.end(),
                        [&](TensorId i) { return whole.contains(i); })) {
          for (TensorId o : op.outputs) whole.insert(o);
          for (TensorId i : op.inputs) whole.insert(i);
        }
    }
    // And what LoRA's products make of columns that are cut.
    for (auto op = g.ops.rbegin(); op != g.ops.rend(); ++op)
      if (op->name.find(".lora_") != std::string::npos &&
          std::any_of(op->outputs.begin(), op->outputs.end(),
                      [&](TensorId o) { return whole.contains(o); }))
        whole.insert(op->inputs.begin(), op->inputs.end());
    for (std::size_t i = 0; i < g.tensors.size(); ++i) {
      Tensor& t = g.tensors[i];
      bool cut = false;
      for (Dim& d : t.dims) {
        const std::int64_t size = share(d);
        cut |= size != d.size || d.axis == Axis::kHeads || d.axis == Axis::kKvHeads ||
               d.axis == Axis::kQkv || d.axis == Axis::kGateUp || d.axis == Axis::kIntermediate;
        d.size = size;
      }
      const bool region = how_.sequence_parallel && how_.ranks > 1 && !cut &&
                          t.kind != TensorKind::kParameter &&
                          !whole.contains(static_cast<TensorId>(i));
      if (region)
        for (Dim& d : t.dims)
          if (d.axis == Axis::kSequence || d.axis == Axis::kRows)
            d.size = divided_up(d.size, how_.ranks);
    }
  }

  const Model& model_;
  const TensorSharding& how_;
  bool experts_cut_;
};

}  // namespace

ModelGraphs shard(const ModelGraphs& graphs, const TensorSharding& how) {
  if (how.ranks == 1) return graphs;
  const Sharder s(graphs, how);
  ModelGraphs out = graphs;
  out.embedding = s.embedding(graphs.embedding);
  out.block = s.block(graphs.block);
  for (OpGraph& g : out.variants) g = s.block(std::move(g));
  out.head = s.head(graphs.head);
  return out;
}

}  // namespace rehearse
