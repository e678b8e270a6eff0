#include <catch2/catch.hpp>

#include "tests/unit/model_test_support.hpp"

using namespace rehearse;
using namespace rehearse::test;

namespace {

const std::string kLlama =
    "{model_type: llama, num_hidden_layers: 2, hidden_size: 64, intermediate_size: 96, "
    "num_attention_heads: 8, num_key_value_heads: 2, vocab_size: 1000}";
const std::string kGpt =
    "{model_type: gpt2, n_layer: 2, n_embd: 64, n_head: 8, n_positions: 32, vocab_size: 1000}";

OpGraph block_of(const std::string& model, GraphOptions options = {}) {
  options.batch = 3;
  options.sequence = 16;
  return build_graphs(model_of(model), options).block;
}

std::vector<std::int64_t> sizes(const Tensor& t) {
  std::vector<std::int64_t> s;
  for (const Dim& dim : t.dims) s.push_back(dim.size);
  return s;
}

using Sizes = std::vector<std::int64_t>;

}  // namespace

TEST_CASE("block: llama's operators in order") {
  CHECK(op_names(block_of(kLlama)) ==
        "norm1 qkv rotary attention proj add1 norm2 up swiglu down add2");
}

// attention(norm1(x)) and mlp(norm2(x)) hold what they are called with until they return.
TEST_CASE("block: what a module is called with lives until its last operator") {
  const OpGraph g = block_of(kGpt);
  for (const auto& [last, held] : {std::pair{"proj", "norm1_out"}, std::pair{"down", "norm2_out"}})
    for (const Op& op : g.ops)
      if (op.name == last) {
        REQUIRE(op.holds.size() == 1);
        CHECK(g.tensor(op.holds.front()).name == held);
      }
}

TEST_CASE("block: gpt2's operators in order") {
  CHECK(op_names(block_of(kGpt)) == "norm1 qkv attention proj add1 norm2 up gelu down add2");
}

TEST_CASE("block: qwen3 normalises queries and keys before the rotation") {
  const OpGraph g = block_of(
      "{model_type: qwen3, hidden_size: 64, num_attention_heads: 8, num_key_value_heads: 2, "
      "head_dim: 16}");
  CHECK(op_names(g) ==
        "norm1 qkv q_norm k_norm rotary attention proj add1 norm2 up swiglu down add2");
  CHECK(op_named(g, "q_norm").kind == OpKind::kRmsNorm);
  CHECK(sizes(tensor_named(g, "q_norm.weight")) == Sizes{16});
  CHECK(sizes(tensor_named(g, "k_norm.rstd")) == Sizes{16, 3, 2});
}

TEST_CASE("block: unfused attention writes its scores") {
  GraphOptions options;
  options.attention = AttentionMethod::kUnfused;
  const OpGraph g = block_of(kGpt, options);
  CHECK(op_names(g) == "norm1 qkv scores softmax context proj add1 norm2 up gelu down add2");
  CHECK(sizes(tensor_named(g, "scores_out")) == Sizes{3, 8, 16, 16});
  CHECK(tensor_named(g, "softmax_out").dims[3].axis == Axis::kKeySequence);
}

TEST_CASE("block: dropout adds operators with a mask of a byte an element") {
  GraphOptions options;
  options.attention = AttentionMethod::kUnfused;
  options.dropout = 0.1;
  const OpGraph g = block_of(kGpt, options);
  CHECK(op_names(g) ==
        "norm1 qkv scores softmax attention_dropout context proj proj_dropout add1 norm2 up gelu "
        "down mlp_dropout add2");
  const Tensor& mask = tensor_named(g, "attention_dropout.mask");
  CHECK(mask.bytes() == Bytes(3 * 8 * 16 * 16));
  CHECK(mask.kind == TensorKind::kStatistic);
}

TEST_CASE("block: flash attention applies its own dropout, without a mask") {
  GraphOptions options;
  options.dropout = 0.1;
  CHECK(op_names(block_of(kGpt, options)) ==
        "norm1 qkv attention proj proj_dropout add1 norm2 up gelu down mlp_dropout add2");
}

TEST_CASE("block: queries, keys and values are views of one projection") {
  const OpGraph g = block_of(kLlama);
  const TensorId qkv = op_named(g, "qkv").outputs.at(0);
  for (const char* name : {"q", "k", "v"}) CHECK(tensor_named(g, name).view_of == qkv);
  CHECK(sizes(g.tensor(qkv)) == Sizes{16, 3, (8 + 2 * 2) * 8});
  CHECK(g.tensor(qkv).dims[2].axis == Axis::kQkv);
  CHECK(sizes(tensor_named(g, "q")) == Sizes{16, 3, 8, 8});
  CHECK(sizes(tensor_named(g, "v")) == Sizes{16, 3, 2, 8});
  CHECK(names_of(g, op_named(g, "attention").inputs) == "q_rot k_rot v");
}

TEST_CASE("block: weights are out by in, with the axes that sharding divides") {
  const OpGraph g = block_of(kLlama);
  CHECK(sizes(tensor_named(g, "up.weight")) == Sizes{2 * 96, 64});
  CHECK(tensor_named(g, "up.weight").dims[0].axis == Axis::kGateUp);
  CHECK(sizes(tensor_named(g, "down.weight")) == Sizes{64, 96});
  CHECK(tensor_named(g, "down.weight").dims[1].axis == Axis::kIntermediate);
  CHECK(sizes(tensor_named(g, "proj.weight")) == Sizes{64, 64});
  CHECK(tensor_named(g, "proj.weight").dims[1].axis == Axis::kHeads);
}

TEST_CASE("block: gpt2 has a bias on every linear and norm, llama on none") {
  const OpGraph gpt = block_of(kGpt);
  for (const char* op : {"norm1", "qkv", "proj", "norm2", "up", "down"}) {
    CHECK(op_named(gpt, op).parameters.size() == 2);
    CHECK(op_named(block_of(kLlama), op).parameters.size() == 1);
  }
  CHECK(sizes(tensor_named(gpt, "qkv.bias")) == Sizes{3 * 64});
}

TEST_CASE("block: a layer norm makes mean and rstd, an RMS norm rstd, in fp32") {
  const OpGraph gpt = block_of(kGpt);
  CHECK(names_of(gpt, op_named(gpt, "norm1").outputs) == "norm1_out norm1.mean norm1.rstd");
  const OpGraph llama = block_of(kLlama);
  CHECK(names_of(llama, op_named(llama, "norm1").outputs) == "norm1_out norm1.rstd");
  CHECK(tensor_named(llama, "norm1.rstd").dtype == DType::kFp32);
  CHECK(sizes(tensor_named(llama, "norm1.rstd")) == Sizes{16, 3});
}

TEST_CASE("block: flash attention makes the log-sum-exp in fp32") {
  const OpGraph g = block_of(kLlama);
  const Tensor& lse = g.tensor(op_named(g, "attention").outputs.at(1));
  CHECK(sizes(lse) == Sizes{3, 8, 16});
  CHECK(lse.dtype == DType::kFp32);
}

TEST_CASE("block: activations have the compute type, parameters their own") {
  GraphOptions options;
  options.parameters = DType::kFp32;
  const OpGraph g = block_of(kLlama, options);
  CHECK(tensor_named(g, "up.weight").dtype == DType::kFp32);
  CHECK(tensor_named(g, "norm1_out").dtype == DType::kBf16);
  CHECK(tensor_named(g, "add2_out").dtype == DType::kBf16);
}

TEST_CASE("block: tf32 is stored as fp32") {
  GraphOptions options;
  options.compute = DType::kTf32;
  options.parameters = DType::kFp32;
  CHECK(tensor_named(block_of(kLlama, options), "up_out").dtype == DType::kFp32);
}

TEST_CASE("block: autocast keeps the residual stream in fp32 and casts before each product") {
  GraphOptions options;
  options.parameters = DType::kFp32;
  options.autocast = true;
  const OpGraph g = block_of(kGpt, options);
  CHECK(op_names(g) == "norm1 qkv_cast qkv attention proj add1 norm2 up_cast up gelu down add2");
  CHECK(tensor_named(g, "norm1_out").dtype == DType::kFp32);
  CHECK(tensor_named(g, "qkv_cast_out").dtype == DType::kBf16);
  CHECK(tensor_named(g, "gelu_out").dtype == DType::kBf16);
  CHECK(tensor_named(g, "add1_out").dtype == DType::kFp32);
}

TEST_CASE("block: names are unique, the block's input and output have one shape") {
  const OpGraph g = block_of(kLlama);
  std::set<std::string> names;
  for (const Tensor& t : g.tensors) CHECK(names.insert(t.name).second);
  CHECK(sizes(g.tensor(g.input)) == sizes(g.tensor(g.output)));
  CHECK(g.tensor(g.input).kind == TensorKind::kInput);
}
