#pragma once

#include <boost/graph/adjacency_list.hpp>
#include <vector>

#include "models/op_graph.hpp"

namespace rehearse {

// What depends on what in an OpGraph: a vertex for each operator and each tensor, an edge from a
// tensor to the operators that read it, from an operator to the tensors it makes, and from a tensor
// to the views of it. Private to `models`. Ids must be in range.
class DependencyGraph {
 public:
  explicit DependencyGraph(const OpGraph& graph);

  bool is_acyclic() const;
  // For each operator, whether the graph's output depends on it.
  std::vector<bool> operators_that_reach_output() const;
  bool input_reaches_output() const;
  // Operators that the output depends on, in the order in which autograd runs their gradients: an
  // operator after all that read its results, and among those that are ready the one that ran last
  // in forward, as PyTorch's engine does by sequence number.
  std::vector<OpId> backward_order() const;

 private:
  using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::bidirectionalS>;
  using Vertex = boost::graph_traits<Graph>::vertex_descriptor;

  Vertex op_vertex(std::size_t op) const { return op; }
  Vertex tensor_vertex(TensorId t) const { return op_count_ + static_cast<std::size_t>(t); }
  std::vector<bool> ancestors_of_output() const;

  std::size_t op_count_;
  TensorId input_;
  TensorId output_;
  Graph graph_;
};

}  // namespace rehearse
