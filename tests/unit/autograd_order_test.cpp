#include <catch2/catch.hpp>

#include "tests/unit/model_test_support.hpp"

using namespace rehearse;
using namespace rehearse::test;

namespace {

// "down:w down:x" ...: the operator and whether its parameters (w), inputs (x) or both (b).
std::string gradients(const OpGraph& graph) {
  std::string text;
  for (const GradOp& grad : derive_backward(graph).ops) {
    const char* kind = grad.kind == GradKind::kInputs       ? "x"
                       : grad.kind == GradKind::kParameters ? "w"
                                                            : "b";
    text += (text.empty() ? "" : " ") + graph.ops[static_cast<std::size_t>(grad.forward)].name +
            ":" + kind;
  }
  return text;
}

ModelGraphs graphs_of(const std::string& model) {
  GraphOptions options;
  options.sequence = 16;
  return build_graphs(model_of(model), options);
}

}  // namespace

TEST_CASE("autograd: a block's backward is its forward reversed, weights before inputs") {
  CHECK(gradients(graphs_of("model_type: llama").block) ==
        "add2:x down:w down:x swiglu:x up:w up:x norm2:b add1:x proj:w proj:x attention:x rotary:x "
        "qkv:w qkv:x norm1:b");
}

// addmm, which a bias makes of it, has its operands the other way round (mat1, mat2, self against
// mat2, self): the order of the allocations in calibration/results/h200-sxm/allocations.*.csv.gz.
TEST_CASE("autograd: a linear with a bias has its input's gradient first") {
  CHECK(gradients(graphs_of("model_type: gpt2").block) ==
        "add2:x down:x down:w gelu:x up:x up:w norm2:b add1:x proj:x proj:w attention:x qkv:x "
        "qkv:w norm1:b");
}

TEST_CASE("autograd: the head's backward starts at the loss") {
  CHECK(gradients(graphs_of("model_type: gpt2").head) ==
        "loss:x cast:x head:w head:x final_norm:b");
}

TEST_CASE("autograd: token ids have no gradient") {
  CHECK(gradients(graphs_of("model_type: gpt2").embedding) ==
        "position_embedding:b token_embedding:w");
}

TEST_CASE("autograd: a linear's weight gradient reads its input, the other its weight") {
  const OpGraph g = graphs_of("model_type: llama").block;
  const BackwardGraph backward = derive_backward(g);
  CHECK(names_of(g, backward.ops.at(1).reads_saved) == "swiglu_out");
  CHECK(names_of(g, backward.ops.at(2).reads_saved) == "down.weight");
}

TEST_CASE("autograd: a norm's gradient reads its input, statistics and weight") {
  const OpGraph g = graphs_of("model_type: llama").block;
  const BackwardGraph backward = derive_backward(g);
  CHECK(names_of(g, backward.ops.back().reads_saved) == "block_in norm1.rstd norm1.weight");
}

TEST_CASE("autograd: among operators that are ready, the last to run goes first") {
  // q_norm and k_norm depend on qkv alone: backward runs k_norm, then q_norm.
  const OpGraph g = graphs_of("model_type: qwen3").block;
  CHECK(contains(gradients(g), "rotary:x k_norm:b q_norm:b qkv:w"));
}
