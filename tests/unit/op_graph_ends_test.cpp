#include <catch2/catch.hpp>

#include "tests/unit/model_test_support.hpp"

using namespace rehearse;
using namespace rehearse::test;

namespace {

ModelGraphs graphs_of(const std::string& model, GraphOptions options = {}) {
  options.batch = 2;
  options.sequence = 8;
  return build_graphs(model_of(model), options);
}

}  // namespace

TEST_CASE("embedding: llama looks tokens up, gpt2 adds positions and drops out") {
  CHECK(op_names(graphs_of("model_type: llama").embedding) == "token_embedding");
  GraphOptions options;
  options.dropout = 0.1;
  CHECK(op_names(graphs_of("model_type: gpt2", options).embedding) ==
        "token_embedding position_embedding embedding_dropout");
}

TEST_CASE("embedding: token ids come in as int64 and leave as [sequence, batch, hidden]") {
  const OpGraph g = graphs_of("model_type: llama").embedding;
  CHECK(g.tensor(g.input).dtype == DType::kInt64);
  CHECK(g.tensor(g.input).dims[0].axis == Axis::kBatch);
  CHECK(g.tensor(g.output).dims[0].axis == Axis::kSequence);
  CHECK(g.tensor(g.output).elements() == 8 * 2 * 4096);
}

TEST_CASE("embedding: the table of positions has a row for each position of the model") {
  const OpGraph g = graphs_of("{model_type: gpt2, n_positions: 77}").embedding;
  CHECK(tensor_named(g, "position_embedding.weight").elements() == 77 * 768);
}

TEST_CASE("graphs: a sequence beyond the learned positions is the user's mistake") {
  CHECK_THROWS_AS(graphs_of("{model_type: gpt2, n_positions: 7}"), UserError);
  CHECK_NOTHROW(graphs_of("{model_type: gpt2, n_positions: 8}"));
}

TEST_CASE("head: final norm, projection, cast to fp32, loss") {
  const OpGraph g = graphs_of("model_type: llama").head;
  CHECK(op_names(g) == "final_norm head cast loss");
  CHECK(tensor_named(g, "logits").dtype == DType::kBf16);
  CHECK(names_of(g, op_named(g, "loss").inputs) == "logits_fp32 targets");
  CHECK(names_of(g, op_named(g, "loss").outputs) == "loss log_probabilities");
  CHECK(tensor_named(g, "log_probabilities").bytes() == Bytes(8LL * 2 * 32000 * 4));
  CHECK(g.tensor(g.output).elements() == 1);
}

TEST_CASE("head: computing in fp32 needs no cast") {
  GraphOptions options;
  options.compute = options.parameters = DType::kFp32;
  const OpGraph g = graphs_of("model_type: llama", options).head;
  CHECK(op_names(g) == "final_norm head loss");
  CHECK(names_of(g, op_named(g, "loss").inputs) == "logits targets");
}

TEST_CASE("head: gpt2's final norm has a bias and its projection none") {
  const OpGraph g = graphs_of("model_type: gpt2").head;
  CHECK(op_named(g, "final_norm").parameters.size() == 2);
  CHECK(op_named(g, "head").parameters.size() == 1);
}

TEST_CASE("head: a tied weight has the embedding's name, an untied one its own") {
  CHECK(names_of(graphs_of("model_type: gpt2").head,
                 op_named(graphs_of("model_type: gpt2").head, "head").parameters) ==
        "token_embedding.weight");
  const OpGraph g = graphs_of("model_type: llama").head;
  CHECK(names_of(g, op_named(g, "head").parameters) == "head.weight");
}

TEST_CASE("check_graph: a tensor read before it is made is a bug") {
  OpGraph g = graphs_of("model_type: llama").block;
  std::swap(g.ops[1], g.ops[2]);
  CHECK_THROWS_WITH(check_graph(g), Catch::Contains("before it is made"));
}

TEST_CASE("check_graph: a tensor made twice is a bug") {
  OpGraph g = graphs_of("model_type: llama").block;
  g.ops[4].outputs = g.ops[1].outputs;
  CHECK_THROWS_WITH(check_graph(g), Catch::Contains("made twice"));
}

TEST_CASE("check_graph: an id out of range is a bug") {
  OpGraph g = graphs_of("model_type: llama").block;
  g.ops[0].inputs[0] = static_cast<TensorId>(g.tensors.size());
  CHECK_THROWS_WITH(check_graph(g), Catch::Contains("does not exist"));
}

TEST_CASE("check_graph: operators in a circle are a bug") {
  OpGraph g = graphs_of("model_type: llama").block;
  g.ops[0].inputs[0] = g.output;
  CHECK_THROWS_WITH(check_graph(g), Catch::Contains("circle"));
}

TEST_CASE("check_graph: an operator that nothing uses is a bug") {
  OpGraph g = graphs_of("model_type: llama").block;
  g.tensors.push_back(
      {"lost", g.tensor(g.input).dims, DType::kBf16, TensorKind::kActivation, kNoTensor});
  g.ops.push_back(
      {OpKind::kCast, "lost", {g.input}, {}, {static_cast<TensorId>(g.tensors.size() - 1)}});
  CHECK_THROWS_WITH(check_graph(g), Catch::Contains("not connected to the output"));
}

TEST_CASE("check_graph: making what comes from outside is a bug") {
  OpGraph g = graphs_of("model_type: llama").block;
  g.ops[0].outputs[0] = g.input;
  CHECK_THROWS_WITH(check_graph(g), Catch::Contains("comes from outside"));
}
