#include <catch2/catch.hpp>

#include "tests/unit/model_test_support.hpp"

using namespace rehearse;
using namespace rehearse::test;

namespace {

OpGraph llama_block() {
  GraphOptions options;
  options.sequence = 32;
  return build_graphs(model_of("{model_type: llama, num_key_value_heads: 8}"), options).block;
}

OpGraph gpt_block(bool flash, double dropout) {
  GraphOptions options;
  options.sequence = 32;
  options.attention = flash ? AttentionMethod::kFlash : AttentionMethod::kUnfused;
  options.dropout = dropout;
  return build_graphs(model_of("model_type: gpt2"), options).block;
}

}  // namespace

TEST_CASE("autograd: llama's block saves what PyTorch saves") {
  const OpGraph g = llama_block();
  CHECK(saved_by(g, "norm1") == "block_in norm1.rstd");
  CHECK(saved_by(g, "qkv") == "norm1_out");
  CHECK(saved_by(g, "rotary").empty());
  CHECK(saved_by(g, "attention") == "q_rot k_rot v attention_out attention.lse");
  CHECK(saved_by(g, "proj") == "attention_out");
  CHECK(saved_by(g, "add1").empty());
  CHECK(saved_by(g, "norm2") == "add1_out norm2.rstd");
  CHECK(saved_by(g, "up") == "norm2_out");
  CHECK(saved_by(g, "swiglu") == "up_out silu");
  CHECK(saved_by(g, "down") == "swiglu_out");
  CHECK(saved_by(g, "add2").empty());
}

TEST_CASE("autograd: gpt2's unfused block with dropout saves probabilities and masks") {
  const OpGraph g = gpt_block(false, 0.1);
  CHECK(saved_by(g, "norm1") == "block_in norm1.mean norm1.rstd");
  CHECK(saved_by(g, "scores") == "q k");
  CHECK(saved_by(g, "softmax") == "softmax_out");
  CHECK(saved_by(g, "attention_dropout") == "attention_dropout.mask");
  CHECK(saved_by(g, "context") == "attention_dropout_out v");
  CHECK(saved_by(g, "proj") == "context_out");
  CHECK(saved_by(g, "proj_dropout") == "proj_dropout.mask");
  CHECK(saved_by(g, "gelu") == "up_out");
  CHECK(saved_by(g, "mlp_dropout") == "mlp_dropout.mask");
}

TEST_CASE("autograd: attention by PyTorch's math path saves scaled copies and one set of scores") {
  GraphOptions options;
  options.sequence = 32;
  options.attention = AttentionMethod::kMath;
  const OpGraph g =
      build_graphs(model_of("{model_type: llama, num_key_value_heads: 8}"), options).block;
  CHECK(saved_by(g, "rotary").empty());
  CHECK(saved_by(g, "k_repeat").empty());
  CHECK(saved_by(g, "scores") == "q_scaled k_scaled");
  CHECK(saved_by(g, "softmax") == "softmax_out");
  CHECK(saved_by(g, "context") == "softmax_out v_repeated");
}

TEST_CASE("autograd: a projection saves the copy of a result that is in another order") {
  GraphOptions options;
  options.sequence = 32;
  options.reorders_attention = true;
  const OpGraph g = build_graphs(model_of("model_type: gpt2"), options).block;
  CHECK(saved_by(g, "attention") == "q k v attention_out attention.lse");
  CHECK(saved_by(g, "attention_reorder").empty());
  CHECK(saved_by(g, "proj") == "attention_reordered");
}

TEST_CASE("autograd: the loss saves log-probabilities and targets, the cast nothing") {
  GraphOptions options;
  options.sequence = 32;
  const ModelGraphs graphs = build_graphs(model_of("model_type: gpt2"), options);
  CHECK(saved_by(graphs.head, "loss") == "targets log_probabilities");
  CHECK(saved_by(graphs.head, "cast").empty());
  CHECK(saved_by(graphs.head, "head") == "final_norm_out");
  CHECK(saved_by(graphs.embedding, "token_embedding") == "token_ids");
  CHECK(saved_by(graphs.embedding, "position_embedding").empty());
}

TEST_CASE("autograd: under autocast a linear saves its cast input, a norm its fp32 one") {
  GraphOptions options;
  options.sequence = 32;
  options.parameters = DType::kFp32;
  options.autocast = true;
  const OpGraph g = build_graphs(model_of("model_type: gpt2"), options).block;
  CHECK(saved_by(g, "qkv") == "qkv_cast_out");
  CHECK(saved_by(g, "qkv_cast").empty());
  CHECK(tensor_named(g, "block_in").dtype == DType::kFp32);
}

// Korthikanti et al. 2022, equation 1: a layer keeps s b h (34 + 5 a s / h) bytes. Attention: the
// projection's input 2, q and k 4, v 2, the output projection's input 2, its mask 1, and per score
// softmax 2, mask 1, dropped-out 2; MLP: inputs 2 and 8, GELU's 8, mask 1; layer norms 2 + 2.
// Statistics of norms are left out there. GPT-3, s = 2048, b = 1: 2048 x 12288 x (34 + 80) bytes.
TEST_CASE("autograd: GPT-3's layer saves the bytes of Korthikanti's equation") {
  GraphOptions options;
  options.sequence = 2048;
  options.attention = AttentionMethod::kUnfused;
  options.dropout = 0.1;
  options.causal = false;
  const OpGraph g = build_graphs(shipped_model("gpt3-175b"), options).block;
  const std::int64_t sbh = 2048LL * 12288;
  CHECK(saved_bytes(g, {}, false) == sbh * (34 + 5 * 96 * 2048 / 12288));
  // Selective recomputation drops what softmax, its dropout and the context keep per score; v
  // stays as part of q, k, v.
  CHECK(saved_bytes(g, {"softmax", "attention_dropout", "context"}, false) == sbh * 34);
}

// Peak memory of one step on one H200, measured with PyTorch 2.11 in bf16 (torch.cuda's
// max_memory_allocated): parameters and AdamW's two states 6 N, everything that forward saves, and
// at the peak, in the loss's backward, two gradients in fp32 beside the saved log-probabilities.
// cuBLAS's workspace, about 68 MB, is all that this leaves out.
TEST_CASE("autograd: saved bytes explain the measured peak of real training steps") {
  struct Row {
    const char* model;
    std::int64_t sequence, batch, measured;
  };
  const std::string llama_1b =
      "{model_type: llama, num_hidden_layers: 16, hidden_size: 2048, intermediate_size: 8192, "
      "num_attention_heads: 32, num_key_value_heads: 8, vocab_size: 128256}";
  const std::string gpt_355m =
      "{model_type: gpt2, n_layer: 24, n_embd: 1024, n_head: 16, vocab_size: 50304}";
  const Row rows[] = {{llama_1b.c_str(), 2048, 4, 34503506944},
                      {llama_1b.c_str(), 8192, 1, 34507176960},
                      {gpt_355m.c_str(), 1024, 16, 25071599104},
                      {"model_type: llama", 4096, 1, 64438905856}};
  for (const Row& row : rows) {
    GraphOptions options;
    options.sequence = row.sequence;
    options.batch = row.batch;
    const ModelGraphs g = build_graphs(model_of(row.model), options);
    const std::int64_t logits_fp32 = tensor_named(g.head, "log_probabilities").bytes().value;
    const std::int64_t peak = 6 * parameter_count(g.model) + saved_bytes(g.embedding) +
                              g.model.layers * saved_bytes(g.block) + saved_bytes(g.head) +
                              2 * logits_fp32;
    CAPTURE(row.model, peak, row.measured);
    CHECK(peak < row.measured);
    CHECK(row.measured - peak < 80'000'000);
  }
}
