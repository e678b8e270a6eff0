#include <stdexcept>
#include <string>

#include "models/dependency_graph.hpp"

namespace rehearse {

namespace {

[[noreturn]] void fail(const OpGraph& graph, const std::string& what) {
  throw std::logic_error("graph '" + graph.name + "': " + what);
}

void check_range(const OpGraph& graph, TensorId t, const std::string& who) {
  if (t < 0 || static_cast<std::size_t>(t) >= graph.tensors.size()) {
    fail(graph, who + " names tensor " + std::to_string(t) + ", which does not exist");
  }
}

void check_ids(const OpGraph& graph) {
  check_range(graph, graph.input, "the input");
  check_range(graph, graph.output, "the output");
  for (const Tensor& t : graph.tensors) {
    if (t.view_of != kNoTensor) check_range(graph, t.view_of, "view '" + t.name + "'");
  }
  for (const Op& op : graph.ops) {
    const std::string who = "operator '" + op.name + "'";
    if (op.outputs.empty()) fail(graph, who + " makes nothing");
    for (TensorId t : op.inputs) check_range(graph, t, who);
    for (TensorId t : op.outputs) check_range(graph, t, who);
    for (TensorId t : op.parameters) {
      check_range(graph, t, who);
      if (graph.tensor(t).kind != TensorKind::kParameter) {
        fail(graph, who + " has '" + graph.tensor(t).name + "' as a parameter, which is none");
      }
    }
  }
}

// The operator that makes each tensor; -1 for what comes from outside and for views.
std::vector<OpId> makers(const OpGraph& graph) {
  std::vector<OpId> maker(graph.tensors.size(), -1);
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    for (TensorId t : graph.ops[i].outputs) {
      const std::string& name = graph.tensor(t).name;
      OpId& m = maker[static_cast<std::size_t>(t)];
      if (m != -1) fail(graph, "tensor '" + name + "' is made twice");
      const TensorKind kind = graph.tensor(t).kind;
      if (kind == TensorKind::kInput || kind == TensorKind::kParameter) {
        fail(graph,
             "operator '" + graph.ops[i].name + "' makes '" + name + "', which comes from outside");
      }
      m = static_cast<OpId>(i);
    }
  }
  return maker;
}

// A view exists as soon as its base does, unless an operator makes it.
void check_order(const OpGraph& graph, const std::vector<OpId>& maker) {
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    for (TensorId t : graph.ops[i].inputs) {
      const std::string& name = graph.tensor(t).name;
      while (maker[static_cast<std::size_t>(t)] == -1 && graph.tensor(t).view_of != kNoTensor) {
        t = graph.tensor(t).view_of;
      }
      const OpId made = maker[static_cast<std::size_t>(t)];
      const TensorKind kind = graph.tensor(t).kind;
      const bool outside = kind == TensorKind::kInput || kind == TensorKind::kParameter;
      if (made == -1 ? !outside : static_cast<std::size_t>(made) >= i) {
        fail(graph, "operator '" + graph.ops[i].name + "' reads '" + name + "' before it is made");
      }
    }
  }
}

}  // namespace

void check_graph(const OpGraph& graph) {
  check_ids(graph);
  const std::vector<OpId> maker = makers(graph);
  const DependencyGraph dependencies(graph);
  if (!dependencies.is_acyclic()) fail(graph, "its operators depend on each other in a circle");
  check_order(graph, maker);
  const std::vector<bool> useful = dependencies.operators_that_reach_output();
  for (std::size_t i = 0; i < useful.size(); ++i) {
    if (!useful[i]) {
      fail(graph, "operator '" + graph.ops[i].name + "' is not connected to the output");
    }
  }
  if (!dependencies.input_reaches_output()) fail(graph, "the input is not connected to the output");
}

}  // namespace rehearse
