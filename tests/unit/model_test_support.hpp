#pragma once

#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>

#include "models/autograd.hpp"
#include "models/op_graph.hpp"
#include "sim/config/value.hpp"

namespace rehearse::test {

inline Model model_of(const std::string& text) {
  return read_model(parse_text(text, "model.yaml"));
}

inline Model shipped_model(const std::string& name) {
  return read_model(
      parse_file(std::string(REHEARSE_SOURCE_DIR) + "/configs/models/" + name + ".yaml"));
}

// The text of all the mistakes in a model.
inline std::string mistakes_of(const std::string& text) {
  try {
    model_of(text);
  } catch (const UserError& e) {
    return e.what();
  }
  return {};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline const Op& op_named(const OpGraph& graph, const std::string& name) {
  for (const Op& op : graph.ops) {
    if (op.name == name) return op;
  }
  throw std::out_of_range("no operator " + name);
}

inline bool has_op(const OpGraph& graph, const std::string& name) {
  for (const Op& op : graph.ops) {
    if (op.name == name) return true;
  }
  return false;
}

inline const Tensor& tensor_named(const OpGraph& graph, const std::string& name) {
  for (const Tensor& t : graph.tensors) {
    if (t.name == name) return t;
  }
  throw std::out_of_range("no tensor " + name);
}

// Names of the operators in order, separated by spaces.
inline std::string op_names(const OpGraph& graph) {
  std::string names;
  for (const Op& op : graph.ops) names += (names.empty() ? "" : " ") + op.name;
  return names;
}

inline std::string names_of(const OpGraph& graph, const std::vector<TensorId>& tensors) {
  std::string names;
  for (TensorId t : tensors) names += (names.empty() ? "" : " ") + graph.tensor(t).name;
  return names;
}

inline std::string saved_by(const OpGraph& graph, const std::string& op) {
  const BackwardGraph backward = derive_backward(graph);
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    if (graph.ops[i].name == op) return names_of(graph, backward.saved[i]);
  }
  throw std::out_of_range("no operator " + op);
}

// Bytes that a graph keeps between forward and backward: every storage once, a view as its base.
// Operators named in `without` keep nothing, and small statistics of norms can be left out.
inline std::int64_t saved_bytes(const OpGraph& graph, const std::set<std::string>& without = {},
                                bool norm_statistics = true) {
  const BackwardGraph backward = derive_backward(graph);
  std::set<TensorId> storages;
  for (std::size_t i = 0; i < graph.ops.size(); ++i) {
    if (without.count(graph.ops[i].name) > 0) continue;
    for (TensorId t : backward.saved[i]) {
      while (graph.tensor(t).view_of != kNoTensor) t = graph.tensor(t).view_of;
      storages.insert(t);
    }
  }
  std::int64_t bytes = 0;
  for (TensorId t : storages) {
    const std::string& name = graph.tensor(t).name;
    const bool statistic = contains(name, ".rstd") || contains(name, ".mean");
    if (norm_statistics || !statistic) bytes += graph.tensor(t).bytes().value;
  }
  return bytes;
}

}  // namespace rehearse::test
