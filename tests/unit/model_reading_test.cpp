#include <catch2/catch.hpp>

#include "models/families.hpp"
#include "tests/unit/model_test_support.hpp"

using namespace rehearse;
using namespace rehearse::test;

TEST_CASE("model: gpt2 without keys is the 124 M model of Hugging Face's defaults") {
  const Model m = model_of("model_type: gpt2");
  CHECK(m.layers == 12);
  CHECK(m.hidden == 768);
  CHECK(m.heads == 12);
  CHECK(m.kv_heads == 12);
  CHECK(m.head_size == 64);
  CHECK(m.intermediate == 3072);
  CHECK(m.vocabulary == 50257);
  CHECK(m.max_positions == 1024);
  CHECK(m.tied);
  CHECK(m.norm == NormKind::kLayerNorm);
  CHECK(m.activation == ActivationKind::kGelu);
  CHECK(m.position == PositionKind::kLearned);
  CHECK((m.qkv_bias && m.proj_bias && m.mlp_bias && m.norm_bias));
}

TEST_CASE("model: llama without keys is Llama 2 7B, untied, with as many kv heads as heads") {
  const Model m = model_of("model_type: llama");
  CHECK(m.layers == 32);
  CHECK(m.hidden == 4096);
  CHECK(m.kv_heads == 32);
  CHECK(m.head_size == 128);
  CHECK(m.intermediate == 11008);
  CHECK(m.vocabulary == 32000);
  CHECK_FALSE(m.tied);
  CHECK_FALSE((m.qkv_bias || m.proj_bias || m.mlp_bias || m.norm_bias || m.qk_norm));
}

TEST_CASE("model: llama's kv heads follow its heads when they are not given") {
  CHECK(model_of("{model_type: llama, hidden_size: 1024, num_attention_heads: 16}").kv_heads == 16);
}

TEST_CASE("model: llama's attention_bias covers both projections, mlp_bias the MLP") {
  const Model attention = model_of("{model_type: llama, attention_bias: true}");
  CHECK((attention.qkv_bias && attention.proj_bias));
  CHECK_FALSE(attention.mlp_bias);
  CHECK(model_of("{model_type: llama, mlp_bias: true}").mlp_bias);
}

TEST_CASE("model: mistral has 8 kv heads and an MLP of 14,336 by default") {
  const Model m = model_of("model_type: mistral");
  CHECK(m.kv_heads == 8);
  CHECK(m.intermediate == 14336);
}

TEST_CASE("model: Megatron's launch arguments have Megatron's defaults") {
  const Model m = model_of(
      "{model_type: megatron_gpt, num_layers: 32, hidden_size: 4096, num_attention_heads: 32, "
      "vocab_size: 131073, max_position_embeddings: 8192}");
  CHECK(m.intermediate == 16384);
  CHECK(m.kv_heads == 32);
  CHECK(m.max_positions == 8192);
  CHECK(m.tied);
  CHECK(m.norm == NormKind::kLayerNorm);
  CHECK(m.activation == ActivationKind::kGelu);
  CHECK(m.position == PositionKind::kLearned);
  CHECK((m.qkv_bias && m.proj_bias && m.mlp_bias && m.norm_bias));
}

TEST_CASE("model: Megatron's arguments say a Llama-like model and its experts") {
  const Model m = model_of(
      "{model_type: megatron_gpt, num_layers: 4, hidden_size: 1024, num_attention_heads: 16, "
      "vocab_size: 32000, num_query_groups: 4, swiglu: true, normalization: RMSNorm, "
      "position_embedding_type: rope, disable_bias_linear: true, kv_channels: 128, num_experts: 8, "
      "moe_ffn_hidden_size: 512, moe_shared_expert_intermediate_size: 256, "
      "moe_layer_freq: [0, 1, 1, 1], untie_embeddings_and_output_weights: true}");
  CHECK(m.intermediate == 4 * 1024 * 2 / 3 / 64 * 64);
  CHECK(m.kv_heads == 4);
  CHECK(m.head_size == 128);
  CHECK_FALSE((m.tied || m.qkv_bias || m.proj_bias || m.mlp_bias || m.norm_bias));
  CHECK(m.experts.count == 8);
  CHECK(m.experts.per_token == 2);
  CHECK(m.experts.intermediate == 512);
  CHECK(m.experts.shared_intermediate == 256);
  CHECK(m.expert_layers == std::vector<bool>{false, true, true, true});
}

TEST_CASE("model: a Megatron model's layers with experts are as many as its layers") {
  CHECK_THROWS_WITH(
      model_of("{model_type: megatron_gpt, num_layers: 4, hidden_size: 256, "
               "num_attention_heads: 4, vocab_size: 512, num_experts: 8, moe_layer_freq: [0, 1]}"),
      Catch::Contains("2 values for 4 layers"));
}

TEST_CASE("model: qwen2 has biases on queries, keys and values alone") {
  const Model m = model_of("model_type: qwen2");
  CHECK(m.qkv_bias);
  CHECK_FALSE((m.proj_bias || m.mlp_bias));
  CHECK(m.kv_heads == 32);
  CHECK(m.vocabulary == 151936);
}

TEST_CASE("model: qwen3 has a head size of its own and norms on queries and keys") {
  const Model m = model_of(
      "{model_type: qwen3, hidden_size: 1024, num_attention_heads: 16, num_key_value_heads: 8}");
  CHECK(m.head_size == 128);
  CHECK(m.qk_norm);
  CHECK_FALSE(m.qkv_bias);
}

TEST_CASE("model: gpt2 takes the general names of its keys") {
  const Model m = model_of(
      "{model_type: gpt2, num_hidden_layers: 3, hidden_size: 64, num_attention_heads: 4, "
      "max_position_embeddings: 32, intermediate_size: 100}");
  CHECK(m.layers == 3);
  CHECK(m.hidden == 64);
  CHECK(m.heads == 4);
  CHECK(m.max_positions == 32);
  CHECK(m.intermediate == 100);
}

TEST_CASE("model: gpt2's two names for one thing may agree but not contradict") {
  CHECK(model_of("{model_type: gpt2, n_layer: 3, num_hidden_layers: 3}").layers == 3);
  const std::string text = mistakes_of("{model_type: gpt2, n_layer: 3, num_hidden_layers: 4}");
  CHECK(contains(text, "3 contradicts 'num_hidden_layers'"));
}

TEST_CASE("model: an override in the other spelling replaces what gpt2's file says") {
  const Value file = parse_text("{model_type: gpt2, n_layer: 12, n_embd: 768}", "gpt2.yaml");
  const Value over = parse_text("{num_hidden_layers: 2}", "scenario.yaml");
  CHECK(read_model(merged(file, over)).layers == 2);
  const Value other = parse_text("{model_type: gpt2, num_hidden_layers: 12}", "gpt2.yaml");
  CHECK(read_model(merged(other, parse_text("{n_layer: 5}", "scenario.yaml"))).layers == 5);
}

TEST_CASE("model: null means that a key is not given, as in a config.json") {
  const Model m = model_of(
      R"({"model_type": "gpt2", "n_inner": null, "n_embd": 64, "n_head": 4, "head_dim": null})");
  CHECK(m.intermediate == 256);
}

TEST_CASE("model: keys of Hugging Face that change nothing are ignored") {
  const Model m = model_of(R"({
    "architectures": ["LlamaForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 128000,
    "eos_token_id": [128001, 128008], "hidden_act": "silu", "initializer_range": 0.02,
    "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
    "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
    "rope_scaling": {"factor": 8.0, "rope_type": "llama3"}, "torch_dtype": "bfloat16",
    "transformers_version": "4.43.0", "use_cache": true, "description": "x", "source": "y"})");
  CHECK(m.layers == 32);
}

TEST_CASE("model: an unknown key is an error with the nearest one") {
  const std::string text = mistakes_of("{model_type: llama, num_hiden_layers: 3}");
  CHECK(contains(text, "num_hiden_layers"));
  CHECK(contains(text, "did you mean 'num_hidden_layers'?"));
  CHECK(contains(text, "model.yaml:1:"));
}

TEST_CASE("model: a missing model_type is an error that lists the families") {
  const std::string text = mistakes_of("{hidden_size: 64}");
  CHECK(contains(text, "model_type"));
  CHECK(contains(text, "gpt2, llama, mistral, mpt, qwen2, qwen3, mixtral"));
}

TEST_CASE("model: an unknown model_type is an error with the nearest one") {
  CHECK(contains(mistakes_of("model_type: lama"), "did you mean 'llama'?"));
}

TEST_CASE("model: families with experts of another kind are refused by name") {
  for (const char* type : {"dbrx", "llama4_text"})
    CHECK(contains(mistakes_of(std::string("model_type: ") + type), "experts are not simulated"));
}

TEST_CASE("model: keys of experts and of latent attention are refused where there are none") {
  CHECK(contains(mistakes_of("{model_type: llama, num_local_experts: 8}"),
                 "a key of a model with experts"));
  CHECK(contains(mistakes_of("{model_type: mixtral, first_k_dense_replace: 1}"),
                 "a key of a model with experts"));
  CHECK(
      contains(mistakes_of("{model_type: llama, kv_lora_rank: 512}"), "a key of latent attention"));
}

TEST_CASE("model: a token cannot go to more experts than there are") {
  CHECK(contains(mistakes_of("{model_type: mixtral, num_experts_per_tok: 9}"), "of 8 experts"));
}

TEST_CASE("model: which layers have experts") {
  const Model deepseek = model_of("{model_type: deepseek_v3, num_hidden_layers: 5}");
  CHECK(deepseek.expert_layers == std::vector<bool>{false, false, false, true, true});
  const Model qwen = model_of(
      "{model_type: qwen3_moe, num_hidden_layers: 5, decoder_sparse_step: 2, mlp_only_layers: "
      "[3]}");
  CHECK(qwen.expert_layers == std::vector<bool>{false, true, false, false, false});
}

TEST_CASE("model: heads must divide the hidden size unless head_dim is given") {
  const std::string shape = "{model_type: llama, hidden_size: 1000, num_attention_heads: 16";
  CHECK(contains(mistakes_of(shape + "}"), "does not divide into 16 heads"));
  CHECK(model_of(shape + ", head_dim: 64}").head_size == 64);
}

TEST_CASE("model: kv heads must divide heads") {
  const std::string text =
      mistakes_of("{model_type: llama, num_attention_heads: 32, num_key_value_heads: 5}");
  CHECK(contains(text, "32 attention heads cannot share 5"));
}

TEST_CASE("model: heads and kv heads that do not divide are reported together") {
  const std::string text =
      mistakes_of("{model_type: llama, hidden_size: 100, num_key_value_heads: 7, unheard_of: 1}");
  CHECK(contains(text, "does not divide into 32 heads"));
  CHECK(contains(text, "32 attention heads cannot share 7"));
  CHECK(contains(text, "unheard_of"));
}

TEST_CASE("model: rotary positions need an even head size") {
  CHECK(contains(mistakes_of("{model_type: llama, head_dim: 63}"), "even head size"));
}

TEST_CASE("model: gpt2 has no grouped queries") {
  CHECK(contains(mistakes_of("{model_type: gpt2, num_key_value_heads: 4}"), "multi-head"));
  CHECK(model_of("{model_type: gpt2, num_key_value_heads: 12}").kv_heads == 12);
}

TEST_CASE("model: sizes must be positive whole numbers, and all mistakes come at once") {
  const std::string text = mistakes_of(
      "{model_type: llama, hidden_size: 0, num_hidden_layers: -3, vocab_size: many, wat: 1}");
  CHECK(contains(text, "hidden_size"));
  CHECK(contains(text, "num_hidden_layers"));
  CHECK(contains(text, "vocab_size"));
  CHECK(contains(text, "wat"));
}

TEST_CASE("model: sizes whose product would overflow are refused") {
  CHECK(contains(mistakes_of("{model_type: llama, num_hidden_layers: 1000000000000}"),
                 "more than 10^17 parameters"));
  CHECK(contains(mistakes_of("{model_type: gpt2, n_embd: 9000000000000000000}"),
                 "n_embd: expected at most 10^12"));
}

TEST_CASE("model: the name is the catalog's, or inline") {
  CHECK(model_of("{model_type: llama, name: mine}").name == "mine");
  CHECK(model_of("model_type: llama").name == "inline");
  CHECK(model_of("model_type: llama").family == "llama");
}

TEST_CASE("model: every family of the registry reads its own defaults") {
  for (const ModelFamily& family : model_families()) {
    const Model m = model_of("model_type: " + std::string(family.name));
    CHECK(m.family == family.name);
    CHECK(parameter_count(m) > 0);
    CHECK_FALSE(family.summary.empty());
  }
}
