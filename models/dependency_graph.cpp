#include "models/dependency_graph.hpp"

#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/reverse_graph.hpp>
#include <boost/graph/topological_sort.hpp>
#include <iterator>
#include <queue>

namespace rehearse {

DependencyGraph::DependencyGraph(const OpGraph& graph)
    : op_count_(graph.ops.size()),
      input_(graph.input),
      output_(graph.output),
      graph_(graph.ops.size() + graph.tensors.size()) {
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    const Op& op = graph.ops[i];
    for (TensorId t : op.inputs) boost::add_edge(tensor_vertex(t), op_vertex(i), graph_);
    for (TensorId t : op.parameters) boost::add_edge(tensor_vertex(t), op_vertex(i), graph_);
    for (TensorId t : op.outputs) boost::add_edge(op_vertex(i), tensor_vertex(t), graph_);
  }
  for (std::size_t t = 0; t < graph.tensors.size(); ++t) {
    const TensorId base = graph.tensors[t].view_of;
    if (base != kNoTensor) boost::add_edge(tensor_vertex(base), op_count_ + t, graph_);
  }
}

bool DependencyGraph::is_acyclic() const {
  std::vector<Vertex> order;
  try {
    boost::topological_sort(graph_, std::back_inserter(order));
  } catch (const boost::not_a_dag&) {
    return false;
  }
  return true;
}

std::vector<bool> DependencyGraph::ancestors_of_output() const {
  const auto reversed = boost::make_reverse_graph(graph_);
  std::vector<boost::default_color_type> color(boost::num_vertices(graph_));
  const auto color_map =
      boost::make_iterator_property_map(color.begin(), boost::get(boost::vertex_index, graph_));
  boost::breadth_first_search(reversed, tensor_vertex(output_), boost::color_map(color_map));
  std::vector<bool> reached(color.size());
  for (std::size_t v = 0; v < color.size(); ++v) reached[v] = color[v] == boost::black_color;
  return reached;
}

std::vector<bool> DependencyGraph::operators_that_reach_output() const {
  std::vector<bool> reached = ancestors_of_output();
  reached.resize(op_count_);
  return reached;
}

bool DependencyGraph::input_reaches_output() const {
  return ancestors_of_output()[tensor_vertex(input_)];
}

std::vector<OpId> DependencyGraph::backward_order() const {
  const std::vector<bool> reached = ancestors_of_output();
  // Edges still to be walked out of each vertex; one with none left is ready.
  std::vector<std::size_t> waiting(reached.size(), 0);
  for (auto [e, end] = boost::edges(graph_); e != end; ++e) {
    if (reached[boost::target(*e, graph_)]) ++waiting[boost::source(*e, graph_)];
  }
  std::vector<OpId> order;
  std::priority_queue<Vertex> ready_ops;
  std::vector<Vertex> ready_tensors{tensor_vertex(output_)};
  const auto release = [&](Vertex v) {
    for (auto [e, end] = boost::in_edges(v, graph_); e != end; ++e) {
      const Vertex from = boost::source(*e, graph_);
      if (--waiting[from] > 0) continue;
      if (from < op_count_) {
        ready_ops.push(from);
      } else {
        ready_tensors.push_back(from);
      }
    }
  };
  while (!ready_tensors.empty() || !ready_ops.empty()) {
    if (!ready_tensors.empty()) {
      const Vertex t = ready_tensors.back();
      ready_tensors.pop_back();
      release(t);
      continue;
    }
    const Vertex op = ready_ops.top();
    ready_ops.pop();
    order.push_back(static_cast<OpId>(op));
    release(op);
  }
  return order;
}

}  // namespace rehearse
