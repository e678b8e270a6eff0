#pragma once

#include <span>

#include "models/op_graph.hpp"
#include "sim/config/scenario.hpp"

namespace rehearse {

// Context parallelism: every rank of a group has an equal part of each sequence. All operators but
// attention work on a part as on a shorter sequence; a method says how a query meets all keys
// before it. One file a method.
struct ContextMethod {
  const char* name;
  const char* summary;
  // A block of one rank, with its part of the sequence and its heads (after tensor parallelism).
  OpGraph (*apply)(OpGraph block, int ranks);
};

std::span<const ContextMethod> context_methods();  // in the order of ContextParallelMethod
const ContextMethod& find_context_method(ContextParallelMethod method);

// The graphs of one rank; they were built for its part of the sequence and cut by shard().
ModelGraphs context_parallel(ModelGraphs graphs, ContextParallelMethod method, int ranks);

OpGraph ring_attention(OpGraph block, int ranks);
OpGraph gathered_keys(OpGraph block, int ranks);
OpGraph ulysses(OpGraph block, int ranks);

// Appends `op`, which turns `from` into a tensor like it with other dimensions, in front of
// operator `at`; every later operator reads the new tensor instead. Returns it.
TensorId insert_before(OpGraph& graph, std::size_t at, OpKind kind, TensorId from,
                       std::vector<Dim> dims);
std::size_t find_operator(const OpGraph& graph, const char* name);
void scale_axis(std::vector<Dim>& dims, Axis axis, std::int64_t times, std::int64_t over);

}  // namespace rehearse
