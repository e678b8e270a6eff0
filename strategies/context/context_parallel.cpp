#include "strategies/context/context_parallel.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace rehearse {
namespace {

constexpr std::array kMethods{
    ContextMethod{"ring",
                  "keys and values travel from rank to rank beside attention (Liu et al. 2023)",
                  ring_attention},
    ContextMethod{"all_gather", "keys and values are gathered before attention (Llama 3)",
                  gathered_keys},
    ContextMethod{
        "ulysses",
        "all-to-all: the whole sequence of some heads (DeepSpeed Ulysses, Jacobs et al. 2023)",
        ulysses},
};

}  // namespace

std::span<const ContextMethod> context_methods() { return kMethods; }

const ContextMethod& find_context_method(ContextParallelMethod method) {
  return kMethods.at(static_cast<std::size_t>(method));
}

ModelGraphs context_parallel(ModelGraphs graphs, ContextParallelMethod method, int ranks) {
  if (ranks == 1) return graphs;
  const ContextMethod& found = find_context_method(method);
  graphs.block = found.apply(std::move(graphs.block), ranks);
  for (OpGraph& g : graphs.variants) g = found.apply(std::move(g), ranks);
  return graphs;
}

TensorId insert_before(OpGraph& g, std::size_t at, OpKind kind, TensorId from,
                       std::vector<Dim> dims) {
  Tensor t = g.tensor(from);
  t.name += ".exchanged";
  t.dims = std::move(dims);
  t.kind = TensorKind::kActivation;
  t.view_of = kNoTensor;
  Op op;
  op.kind = kind;
  op.name = g.tensor(from).name + "." + std::string(to_string(kind));
  op.inputs = {from};
  op.outputs = {static_cast<TensorId>(g.tensors.size())};
  g.tensors.push_back(std::move(t));
  for (std::size_t i = at; i < g.ops.size(); ++i)
    std::replace(g.ops[i].inputs.begin(), g.ops[i].inputs.end(), from, op.outputs[0]);
  g.ops.insert(g.ops.begin() + static_cast<std::ptrdiff_t>(at), op);
  return op.outputs[0];
}

std::size_t find_operator(const OpGraph& g, const char* name) {
  for (std::size_t i = 0; i < g.ops.size(); ++i)
    if (g.ops[i].name == name) return i;
  throw std::logic_error("graph '" + g.name + "' has no operator '" + name + "'");
}

void scale_axis(std::vector<Dim>& dims, Axis axis, std::int64_t times, std::int64_t over) {
  for (Dim& d : dims)
    if (d.axis == axis) d.size = std::max<std::int64_t>(1, d.size * times / over);
}

}  // namespace rehearse
