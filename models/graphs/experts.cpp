#include <numeric>

#include "models/graphs/builder.hpp"

namespace rehearse {

namespace {

// What the experts of one rank see.
class ExpertGraph {
 public:
  ExpertGraph(GraphBuilder& g, TensorId x)
      : g_(g), x_(x), e_(g.model().experts), layout_(g.options().experts) {
    const std::int64_t tokens = g.options().sequence * g.options().batch;
    rows_ = layout_.rows;
    if (rows_.empty())
      rows_.assign(static_cast<std::size_t>(e_.count), tokens * e_.per_token / e_.count);
    if (layout_.rows.empty()) {  // every row once, whatever does not divide
      const std::int64_t left = tokens * e_.per_token % e_.count;
      for (std::int64_t i = 0; i < left; ++i) ++rows_[static_cast<std::size_t>(i)];
    }
    received_ = std::accumulate(rows_.begin(), rows_.end(), std::int64_t{0});
    permuted_ = tokens * e_.per_token;
  }

  TensorId build() {
    const TensorId weights = route();
    TensorId h = x_;
    if (layout_.ranks > 1 && layout_.gathers_tokens) h = exchange_tokens(h);
    h = permute(h);
    h = counts(h);
    const bool exchanges = layout_.ranks > 1 && !layout_.gathers_tokens;
    if (exchanges) h = exchange(OpKind::kDispatch, "dispatch", h, received_dim());
    const TensorId dispatched = h;
    g_.make_experts(true);
    h = layout_.grouped ? grouped(h, weights) : looped(h);
    g_.make_experts(false);
    if (exchanges) h = exchange(OpKind::kReturn, "return", h, permuted_dim());
    h = combine(h, weights, exchanges && !layout_.grouped ? dispatched : kNoTensor);
    if (layout_.ranks > 1 && layout_.gathers_tokens)
      h = activation_op(OpKind::kScatterTokens, "scatter_tokens", h,
                        g_.tokens({{Axis::kHidden, g_.model().hidden}}));
    return h;
  }

 private:
  Dim hidden() const { return {Axis::kHidden, g_.model().hidden}; }
  Dim received_dim() const { return {Axis::kRows, received_}; }
  Dim permuted_dim() const {
    return {Axis::kRows, layout_.gathers_tokens && layout_.ranks > 1 ? received_ : permuted_};
  }
  Dim gate_up() const { return {layout_.cut ? Axis::kGateUp : Axis::kNone, 2 * e_.intermediate}; }
  Dim inner() const { return {layout_.cut ? Axis::kIntermediate : Axis::kNone, e_.intermediate}; }

  TensorId activation_op(OpKind kind, const std::string& name, TensorId x, std::vector<Dim> dims) {
    const TensorId out = g_.activation(name + "_out", std::move(dims), g_.tensor(x).dtype);
    g_.op(kind, name, {x}, {}, {out});
    return out;
  }

  TensorId route() {
    const Dim choices{Axis::kNone, e_.per_token};
    TensorId logits = g_.linear("router", x_, {Axis::kNone, e_.count}, e_.router_bias);
    logits = g_.cast("router_cast", logits, DType::kFp32, "router_logits");
    const TensorId weights = g_.activation("route_out", g_.tokens({choices}), g_.tensor(x_).dtype);
    g_.op(OpKind::kRoute, "route", {logits}, {},
          {weights,
           g_.statistic("route.probabilities", g_.tokens({{Axis::kNone, e_.count}}), DType::kFp32),
           g_.statistic("route.chosen", g_.tokens({choices}), DType::kFp32),
           g_.statistic("route.indices", g_.tokens({choices}), DType::kInt64)});
    return weights;
  }

  TensorId exchange_tokens(TensorId x) {
    std::vector<Dim> dims = g_.tensor(x).dims;
    dims = {{Axis::kRows, dims[0].size * dims[1].size * layout_.ranks}, hidden()};
    return activation_op(OpKind::kGatherTokens, "gather_tokens", x, dims);
  }

  TensorId permute(TensorId x) {
    const TensorId out =
        g_.activation("permute_out", {permuted_dim(), hidden()}, g_.tensor(x).dtype);
    const TensorId rows = g_.statistic("permute.rows", {permuted_dim()}, DType::kInt64);
    g_.op(OpKind::kPermute, "permute", {x}, {}, {out, rows});
    return out;
  }

  TensorId counts(TensorId x) {
    const TensorId out = g_.view("counts_out", x, g_.tensor(x).dims);
    g_.op(OpKind::kCounts, "counts", {x}, {}, {out}).parts = layout_.ranks;
    return out;
  }

  TensorId exchange(OpKind kind, const std::string& name, TensorId x, Dim rows) {
    return activation_op(kind, name, x, {rows, hidden()});
  }

  // Expert by expert, as a loop over modules runs them.
  TensorId looped(TensorId h) {
    std::vector<TensorId> parts, results;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const std::string name = "expert" + std::to_string(i);
      const std::vector<Dim> dims{{Axis::kRows, rows_[i]}, hidden()};
      parts.push_back(layout_.ranks > 1 ? g_.activation(name + "_in", dims, g_.tensor(h).dtype)
                                        : g_.view(name + "_in", h, dims));
    }
    g_.op(OpKind::kArrange, "arrange", {h}, {}, parts).parts = layout_.ranks;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const std::string name = "expert" + std::to_string(i) + ".";
      const TensorId up = g_.linear(name + "up", parts[i], gate_up(), e_.bias);
      g_.last().unseen = layout_.unseen;
      const TensorId y = g_.swiglu(name + "swiglu", up, inner(), name + "silu");
      results.push_back(g_.linear(name + "down", y, hidden(), e_.bias));
      g_.last().unseen = layout_.unseen;
    }
    const TensorId out = g_.activation("join_out", {received_dim(), hidden()}, g_.compute_dtype());
    held_ = results;
    g_.op(OpKind::kJoin, "join", std::move(results), {}, {out}).parts = layout_.ranks;
    return out;
  }

  TensorId grouped_linear(const std::string& name, TensorId x, Dim out, Dim in) {
    const Dim experts{Axis::kExperts, static_cast<std::int64_t>(rows_.size())};
    x = g_.cast(name + "_cast", x, g_.compute_dtype());
    std::vector<TensorId> parameters{g_.parameter(name + ".weight", {experts, out, in})};
    if (e_.bias) parameters.push_back(g_.parameter(name + ".bias", {experts, out}));
    std::vector<Dim> dims = g_.tensor(x).dims;
    dims.back() = out;
    const TensorId result = g_.activation(name + "_out", dims, g_.compute_dtype());
    g_.op(OpKind::kGroupedLinear, name, {x}, std::move(parameters), {result}).groups = rows_;
    return result;
  }

  TensorId grouped(TensorId h, TensorId weights) {
    const bool sorts = layout_.ranks > 1 && rows_.size() > 1 && !layout_.gathers_tokens;
    if (sorts) h = rearranged(OpKind::kArrange, "arrange", h);
    h = grouped_linear("experts.up", h, gate_up(), hidden());
    h = g_.swiglu("experts.swiglu", h, inner(), "experts.silu", weights);
    h = grouped_linear("experts.down", h, hidden(), inner());
    return sorts ? rearranged(OpKind::kJoin, "join", h) : h;
  }

  TensorId rearranged(OpKind kind, const std::string& name, TensorId h) {
    const TensorId out = activation_op(kind, name, h, g_.tensor(h).dims);
    g_.last().parts = layout_.ranks;
    return out;
  }

  // A loop's results and what they were cut from live until its function returns.
  TensorId combine(TensorId h, TensorId weights, TensorId dispatched) {
    std::vector<Dim> dims = g_.tokens({hidden()});
    if (layout_.gathers_tokens && layout_.ranks > 1)
      dims = {{Axis::kRows, dims[0].size * dims[1].size * layout_.ranks}, hidden()};
    const DType dtype = g_.tensor(x_).dtype;
    const TensorId out = g_.activation("combine_out", dims, dtype);
    const Dim rows = permuted_dim();
    std::vector<TensorId> inputs{h}, outputs{out};
    outputs.push_back(g_.statistic("combine.rows", {rows}, DType::kInt64));
    if (!layout_.grouped) {
      inputs.push_back(weights);
      outputs.push_back(g_.statistic("combine.order", {rows}, DType::kInt64));
      outputs.push_back(g_.statistic("combine.weights", {rows}, dtype));
      outputs.push_back(g_.statistic("combine.weighted", {rows, hidden()}, dtype));
    }
    Op& op = g_.op(OpKind::kCombine, "combine", std::move(inputs), {}, std::move(outputs));
    op.holds = held_;
    if (dispatched != kNoTensor) op.holds.push_back(dispatched);
    return out;
  }

  GraphBuilder& g_;
  TensorId x_;
  const Experts& e_;
  const ExpertLayout& layout_;
  std::vector<std::int64_t> rows_;  // of each expert of this rank
  std::int64_t received_ = 0, permuted_ = 0;
  std::vector<TensorId> held_;
};

}  // namespace

// Router, routed experts and, beside them, the shared ones.
TensorId expert_mlp(GraphBuilder& g, TensorId x) {
  TensorId y = ExpertGraph(g, x).build();
  const Experts& e = g.model().experts;
  if (e.shared_intermediate == 0) return y;
  const TensorId shared = mlp(g, x, "shared.", e.shared_intermediate, e.bias);
  return g.add("shared_add", y, shared);
}

}  // namespace rehearse
