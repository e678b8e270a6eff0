#include <catch2/catch.hpp>

#include "tests/unit/model_test_support.hpp"

// O32. Parameters of a decoder-only transformer, from the shapes of its matrices:
//   attention  h x h for each of q, k, v and the output            4 h^2
//   MLP        h x 4h up and 4h x h down                           8 h^2   => 12 l h^2 in all
//   biases     q, k, v, output 4h; up 4h; down h                   9 h
//   norms      two of weight and bias                              4 h     => 13 l h
//   embedding  V h, positions P h, final norm 2 h; a tied head adds nothing.
// Grouped queries: 2 h d (n_q + n_kv) for attention (q and output n_q d each, k and v n_kv d each).
// A gated MLP has three matrices of h x F.

using namespace rehearse;
using namespace rehearse::test;

namespace {

struct Published {
  const char* name;
  std::int64_t parameters;
};

}  // namespace

TEST_CASE("o32: models that ship have their published number of parameters") {
  const Published models[] = {
      {"gpt2", 124439808},           {"gpt2-medium", 354823168},  {"gpt2-large", 774030080},
      {"gpt2-xl", 1557611200},       {"llama2-7b", 6738415616},   {"llama2-13b", 13015864320},
      {"llama2-70b", 68976648192},   {"llama3-8b", 8030261248},   {"llama3-70b", 70553706496},
      {"llama3-405b", 405853388800}, {"llama3.2-1b", 1235814400}, {"llama3.2-3b", 3212749824},
      {"mistral-7b", 7241732096},    {"qwen2.5-7b", 7615616512},  {"qwen2.5-72b", 72706203648}};
  for (const Published& p : models) {
    CAPTURE(p.name);
    CHECK(parameter_count(shipped_model(p.name)) == p.parameters);
  }
}

// Experts: of every layer's E expert MLPs (3 h F each) a token meets k. DeepSeek's count leaves out
// the layer that predicts a further token; gpt-oss's 5.1 billion active ones leave out the
// embedding.
TEST_CASE("o32: models with experts have their published numbers of parameters, all and active") {
  struct Row {
    const char* name;
    std::int64_t all;
    double active_billions, tolerance;
  };
  for (const Row& r :
       {Row{"mixtral-8x7b", 46702792704, 12.88, 0.005},
        Row{"mixtral-8x22b", 140620634112, 39.15, 0.01},
        Row{"qwen3-30b-a3b", 30532122624, 3.35, 0.005},
        Row{"qwen3-235b-a22b", 235093634560, 22.19, 0.01},
        Row{"deepseek-v2", 235741434880, 21.4, 0.05}, Row{"deepseek-v3", 671026404352, 37.55, 0.01},
        Row{"gpt-oss-120b", 116829156672, 5.13 + 0.579, 0.005}}) {
    CAPTURE(r.name);
    const Model m = shipped_model(r.name);
    CHECK(parameter_count(m) == r.all);
    CHECK(static_cast<double>(active_parameter_count(m)) / 1e9 ==
          Approx(r.active_billions).margin(r.tolerance));
  }
}

// The graphs have as many as the formula.
TEST_CASE("o32: the graphs of models with experts hold the same parameters") {
  for (const char* name : {"mixtral-8x7b", "qwen3-30b-a3b", "deepseek-v3", "gpt-oss-120b"})
    for (const bool grouped : {false, true}) {
      CAPTURE(name, grouped);
      const Model m = shipped_model(name);
      GraphOptions options;
      options.sequence = 64;
      options.experts.grouped = grouped;
      const ModelGraphs g = build_graphs(m, options);
      std::int64_t n = g.embedding.parameter_count() + g.head.parameter_count();
      for (std::int64_t l = 0; l < m.layers; ++l) n += layer_graph(g, l).parameter_count();
      CHECK(n == parameter_count(m));
    }
}

// Narayanan et al. 2021, equation 2: P = 12 l h^2 (1 + 13/(12 h) + (V + s)/(12 l h)), which leaves
// out the final norm's 2 h. Their table 1 prints 529.6 and 1008.0 billion, Korthikanti et al. 22.
TEST_CASE("o32: Megatron's models follow the formula of their paper") {
  struct Row {
    const char* name;
    std::int64_t l, h;
    double billions, tolerance;
  };
  for (const Row& r :
       {Row{"megatron-22b", 48, 6144, 22, 0.5}, Row{"megatron-530b", 105, 20480, 529.6, 0.05},
        Row{"megatron-1t", 128, 25600, 1008.0, 0.05}}) {
    const std::int64_t expected = 12 * r.l * r.h * r.h + 13 * r.l * r.h + (51200 + 2048) * r.h;
    const std::int64_t counted = parameter_count(shipped_model(r.name));
    CAPTURE(r.name);
    CHECK(counted == expected + 2 * r.h);
    CHECK(static_cast<double>(counted) / 1e9 == Approx(r.billions).margin(r.tolerance));
  }
}

// Brown et al. 2020, table 2.1, prints 1.3, 2.7, 6.7, 13.0 and 175.0 billion.
TEST_CASE("o32: GPT-3's models have the sizes of their names") {
  const std::pair<const char*, double> models[] = {{"gpt3-1.3b", 1.3},
                                                   {"gpt3-2.7b", 2.7},
                                                   {"gpt3-6.7b", 6.7},
                                                   {"gpt3-13b", 13.0},
                                                   {"gpt3-175b", 175.0}};
  for (const auto& [name, billions] : models) {
    CAPTURE(name);
    CHECK(static_cast<double>(parameter_count(shipped_model(name))) / 1e9 ==
          Approx(billions).epsilon(0.02));
  }
}

TEST_CASE("o32: without biases and norms a GPT layer has 12 h^2") {
  const std::int64_t h = 64;
  Model m = model_of("{model_type: gpt2, n_layer: 1, n_embd: 64, n_head: 8, vocab_size: 10}");
  m.qkv_bias = m.proj_bias = m.mlp_bias = m.norm_bias = false;
  Model two = m;
  two.layers = 2;
  CHECK(parameter_count(two) - parameter_count(m) == 12 * h * h + 2 * h);
}

TEST_CASE("o32: a Llama layer has 2 h d (n_q + n_kv) + 3 h F + 2 h") {
  const std::string rest =
      ", hidden_size: 96, head_dim: 10, num_attention_heads: 6, num_key_value_heads: 3, "
      "intermediate_size: 50}";
  const std::int64_t one =
      parameter_count(model_of("{model_type: llama, num_hidden_layers: 1" + rest));
  const std::int64_t two =
      parameter_count(model_of("{model_type: llama, num_hidden_layers: 2" + rest));
  CHECK(two - one == 2 * 96 * 10 * (6 + 3) + 3 * 96 * 50 + 2 * 96);
}

// PyTorch's own count (sum of p.numel()) of models that were trained on real GPUs.
TEST_CASE("o32: models counted by PyTorch have the same number of parameters") {
  const std::pair<const char*, std::int64_t> rows[] = {
      {"{model_type: gpt2, vocab_size: 50304}", 124475904},
      {"{model_type: gpt2, n_layer: 24, n_embd: 1024, n_head: 16, vocab_size: 50304}", 354871296},
      {"{model_type: gpt2, n_layer: 48, n_embd: 1600, n_head: 25, vocab_size: 50304}", 1557686400},
      {"{model_type: gpt2, n_layer: 24, n_embd: 2048, n_head: 16, n_positions: 2048, "
       "vocab_size: 50304, tie_word_embeddings: false}",
       1418842112},
      {"{model_type: llama, num_hidden_layers: 16, hidden_size: 2048, intermediate_size: 8192, "
       "num_attention_heads: 32, num_key_value_heads: 8, vocab_size: 128256}",
       1498482688},
      {"{model_type: llama, num_hidden_layers: 28, hidden_size: 3072, intermediate_size: 8192, "
       "num_attention_heads: 24, num_key_value_heads: 8, vocab_size: 128256}",
       3606752256},
      {"model_type: llama", 6738415616}};
  for (const auto& [text, parameters] : rows) {
    CAPTURE(text);
    CHECK(parameter_count(model_of(text)) == parameters);
  }
}
