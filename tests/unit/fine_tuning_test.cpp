// What trains: the graphs with LoRA, adapters and frozen layers, what their backward is, and plans
// of them.

#include "models/fine_tuning.hpp"

#include <catch2/catch.hpp>

#include "models/autograd.hpp"
#include "strategies/tensor/shard.hpp"
#include "tests/unit/model_test_support.hpp"
#include "tests/unit/strategy_fixture.hpp"

namespace rehearse {
namespace {

using Catch::Contains;
using test::model_of;
using test::names_of;

const char* const kLlama =
    "{model_type: llama, num_hidden_layers: 4, hidden_size: 64, num_attention_heads: 8, "
    "num_key_value_heads: 4, intermediate_size: 192, vocab_size: 512, tie_word_embeddings: false}";

FineTuning lora(std::vector<std::string> targets) {
  return {FineTuning::Kind::kLora, 4, std::move(targets), 0, {}};
}
FineTuning adapters() { return {FineTuning::Kind::kAdapter, 4, {}, 0, {}}; }
FineTuning layers(std::vector<int> which) {
  return {FineTuning::Kind::kLayers, 0, {}, 0, std::move(which)};
}

ModelGraphs graphs(const FineTuning& f, const char* model = kLlama) {
  GraphOptions options;
  options.sequence = 32;
  options.fine_tuning = f;
  return build_graphs(model_of(model), options);
}

std::string saved_by(const OpGraph& g, const std::string& op, bool input_gradient = true) {
  const BackwardGraph backward = derive_backward(g, input_gradient);
  for (std::size_t i = 0; i < g.ops.size(); ++i)
    if (g.ops[i].name == op) return names_of(g, backward.saved[i]);
  throw std::out_of_range("no operator " + op);
}

std::vector<std::string> order(const OpGraph& g, bool input_gradient = true) {
  std::vector<std::string> out;
  for (const GradOp& grad : derive_backward(g, input_gradient).ops) {
    const char* kinds[] = {" inputs", " weights", " both"};
    out.push_back(g.ops[static_cast<std::size_t>(grad.forward)].name +
                  kinds[static_cast<int>(grad.kind)]);
  }
  return out;
}

bool has(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

std::int64_t trained(const ModelGraphs& g) {
  std::int64_t n = 0;
  const auto add = [&](const OpGraph& graph) {
    for (const Tensor& t : graph.tensors)
      if (t.kind == TensorKind::kParameter && t.trainable) n += t.elements();
  };
  add(g.embedding);
  for (std::int64_t l = 0; l < g.model.layers; ++l) add(layer_graph(g, l));
  add(g.head);
  return n;
}

TEST_CASE("a frozen projection keeps no input, LoRA's products beside it keep theirs") {
  const OpGraph g = graphs(lora({"qkv", "down"})).block;
  CHECK(saved_by(g, "qkv").empty());
  CHECK(saved_by(g, "qkv.lora_down") == "norm1_out");
  CHECK(saved_by(g, "qkv.lora_up") == "qkv.lora_down_out");
  CHECK(saved_by(g, "qkv.lora_scale").empty());
  CHECK(saved_by(g, "proj").empty());
  CHECK(saved_by(g, "up").empty());
  CHECK(saved_by(g, "norm2") == "add1_out norm2.rstd");
  CHECK(saved_by(g, "down.lora_down") == "swiglu_out");
}

TEST_CASE("backward of a layer with LoRA, in autograd's order") {
  const std::vector<std::string> all = order(graphs(lora({"proj"})).block);
  const std::vector<std::string> proj{
      "proj.lora_add inputs", "proj.lora_scale inputs", "proj.lora_up weights",
      "proj.lora_up inputs",  "proj.lora_down weights", "proj.lora_down inputs",
      "proj inputs",          "attention inputs"};
  CHECK(std::search(all.begin(), all.end(), proj.begin(), proj.end()) != all.end());
  CHECK(has(all, "qkv inputs"));
  CHECK_FALSE(has(all, "qkv weights"));
  CHECK(has(all, "norm1 inputs"));
}

TEST_CASE("nothing before the first product that trains has a gradient") {
  const std::vector<std::string> first = order(graphs(lora({"proj"})).block, false);
  CHECK(has(first, "proj.lora_down weights"));
  for (const char* none : {"proj.lora_down inputs", "proj inputs", "attention inputs", "qkv inputs",
                           "norm1 inputs", "norm1 both"})
    CHECK_FALSE(has(first, none));
  CHECK(saved_by(graphs(lora({"proj"})).block, "attention", false).empty());
}

TEST_CASE("a frozen layer keeps what gradients of its inputs read") {
  const ModelGraphs g = graphs(layers({1}));
  CHECK(saved_by(layer_graph(g, 0), "norm1", false).empty());
  CHECK(order(layer_graph(g, 0), false).empty());
  CHECK(has(order(layer_graph(g, 1), false), "norm1 weights"));
  CHECK(has(order(layer_graph(g, 3)), "norm1 inputs"));
  CHECK(saved_by(layer_graph(g, 3), "down").empty());
  CHECK(saved_by(layer_graph(g, 1), "down", false) == "swiglu_out");
}

TEST_CASE("backward ends at the lowest graph with something that trains") {
  CHECK(first_trainable(graphs({})) == 0);
  CHECK(first_trainable(graphs(lora({"up"}))) == 1);
  CHECK(first_trainable(graphs(layers({2, 3}))) == 3);
  CHECK(order(graphs(lora({"up"})).embedding).empty());
}

TEST_CASE("parameters that train are those of the graphs") {
  const Model m = model_of(kLlama);
  for (const FineTuning& f : {FineTuning{}, lora({"qkv", "proj"}), lora({"q", "v", "up", "down"}),
                              adapters(), layers({0, 3})}) {
    CHECK(trainable_parameter_count(m, f) == trained(graphs(f)));
    CHECK(first_trainable_layer(m, f) == std::max<std::int64_t>(1, first_trainable(graphs(f))) - 1);
  }
  CHECK(parameter_count(m, lora({"proj"})) == parameter_count(m) + 4 * 4 * (64 + 64));
  CHECK(parameter_count(m, layers({1})) == parameter_count(m));
}

TEST_CASE("LoRA on queries alone is a product of its own") {
  const OpGraph g = graphs(lora({"q"})).block;
  for (const Op& op : g.ops)
    if (op.name == "rotary") CHECK(g.tensor(op.inputs[0]).name == "q");
  for (const Op& op : g.ops)
    if (op.name == "q.lora_up") CHECK(g.tensor(op.outputs[0]).elements() == 32 * 64);
}

TEST_CASE("latent attention's projections are LoRA's targets") {
  const Model m = model_of(
      "{model_type: deepseek_v3, num_hidden_layers: 4, hidden_size: 64, num_attention_heads: 8, "
      "q_lora_rank: 24, kv_lora_rank: 16, qk_nope_head_dim: 8, qk_rope_head_dim: 8, v_head_dim: 8, "
      "intermediate_size: 192, n_routed_experts: 8, num_experts_per_tok: 2, n_shared_experts: 1, "
      "moe_intermediate_size: 32, first_k_dense_replace: 1, vocab_size: 512}");
  GraphOptions options;
  options.sequence = 32;
  options.fine_tuning = lora({"q_down", "q_up", "kv_down", "kv_up", "proj", "shared.up", "down"});
  CHECK(trained(build_graphs(m, options)) == trainable_parameter_count(m, options.fine_tuning));
}

TEST_CASE("tensor parallelism cuts LoRA's products as their projections") {
  GraphOptions options;
  options.sequence = 32;
  options.fine_tuning = lora({"qkv", "proj"});
  const ModelGraphs whole = build_graphs(model_of(kLlama), options);
  for (const bool sequence : {false, true}) {
    const OpGraph g = shard(whole, {2, sequence, false}).block;
    const auto weight = [&](const std::string& name) {
      for (const Tensor& t : g.tensors)
        if (t.name == name + ".weight") return t.elements();
      return std::int64_t{0};
    };
    CHECK(weight("qkv.lora_down") == 4 * 64);
    CHECK(weight("qkv.lora_up") == 4 * (64 + 2 * 32) / 2);
    CHECK(weight("proj.lora_down") == 4 * 64 / 2);
    CHECK(weight("proj.lora_up") == 4 * 64);
    // Both parts of the sum meet in one reduction, behind it.
    for (std::size_t i = 0; i < g.ops.size(); ++i)
      if (g.ops[i].name == "proj.scatter") CHECK(g.ops[i - 1].name == "proj.lora_add");
    for (const Tensor& t : g.tensors)
      if (t.name == "proj.lora_down_out") CHECK(t.elements() == 32 * 4);
  }
}

TEST_CASE("what cannot be tuned is refused with what can") {
  const auto refused = [](const std::string& training) {
    return complaint({kLlama, 1, "micro_batch_size: 1, global_batch_size: 8, " + training, ""});
  };
  CHECK_THAT(refused("lora: {rank: 4, targets: [qvk]}"), Contains("did you mean 'qkv'?"));
  CHECK_THAT(refused("lora: {rank: 4, targets: [q_up]}"), Contains("no projection 'q_up'"));
  CHECK_THAT(refused("lora: {targets: [qkv]}"), Contains("rank"));
  CHECK_THAT(refused("lora: {rank: 4, targets: [qkv, q]}"), Contains("the same product"));
  CHECK_THAT(refused("lora: {rank: 4}, adapter: {rank: 4}"), Contains("in one way"));
  CHECK_THAT(refused("trainable_layers: 5"), Contains("has 4 layers"));
  CHECK_THAT(refused("trainable_layers: [4]"), Contains("0 to 3"));
  CHECK_THAT(refused("trainable_layers: [1, 1]"), Contains("each once"));
  CHECK(refused("lora: {rank: 4, targets: [gate_up, down]}") == "accepted");
}

std::int64_t gathered(const Built& b) {
  std::int64_t n = 0;
  for (const RunCollective& c : collectives(b.rank(), CollectiveOp::kAllGather))
    n += c.work.bytes.value;
  return n;
}

TEST_CASE("FSDP gathers frozen parameters and reduces LoRA's gradients alone") {
  const std::string batch = "micro_batch_size: 1, global_batch_size: 2, lora: {rank: 4}";
  const Built b = build({kLlama, 2, batch, "zero_stage: 3"});
  std::int64_t reduced = 0;
  for (const RunCollective& c : collectives(b.rank(), CollectiveOp::kReduceScatter))
    reduced += c.work.bytes.value;
  const FineTuning& f = b.plan.training.fine_tuning;
  CHECK(reduced == 2 * trainable_parameter_count(b.model, f));
  // For forward and for backward.
  CHECK(gathered(b) == 2 * 2 * parameter_count(b.model, f));
}

TEST_CASE("FSDP gathers nothing for a backward that does not come") {
  const std::string batch = "micro_batch_size: 1, global_batch_size: 2, trainable_layers: 1";
  const Built b = build({kLlama, 2, batch, "zero_stage: 3"});
  const std::int64_t layer = layer_parameters(b.model, 0), all = parameter_count(b.model);
  CHECK(gathered(b) == 2 * (all + (all - 3 * layer)));
}

TEST_CASE("DDP has buckets for what trains") {
  const std::string batch = "micro_batch_size: 1, global_batch_size: 2, lora: {rank: 4}";
  const Built b = build({kLlama, 2, batch, ""});
  std::int64_t reduced = 0;
  for (const RunCollective& c : collectives(b.rank(), CollectiveOp::kAllReduce))
    reduced += c.work.bytes.value;
  CHECK(reduced == 2 * trainable_parameter_count(b.model, b.plan.training.fine_tuning));
  CHECK(b.rank().persistent_gradients.value == reduced);
}

}  // namespace
}  // namespace rehearse
