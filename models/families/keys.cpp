#include "models/families/keys.hpp"

#include <array>

namespace rehearse {

namespace {

constexpr std::string_view kUnneeded[] = {
    // About the file.
    "name",
    "description",
    "source",
    "architectures",
    "model_type",
    "_name_or_path",
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "auto_map",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "license",
    "finetuning_task",
    "task_specific_params",
    // Tokens and generation.
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "sep_token_id",
    "unk_token_id",
    "decoder_start_token_id",
    "use_cache",
    "is_decoder",
    "is_encoder_decoder",
    "max_length",
    "min_length",
    "do_sample",
    "early_stopping",
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "bad_words_ids",
    "num_return_sequences",
    "output_scores",
    "return_dict_in_generate",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "remove_invalid_values",
    "exponential_decay_length_penalty",
    "suppress_tokens",
    "begin_suppress_tokens",
    "prefix",
    "tokenizer_class",
    "tie_encoder_decoder",
    "cross_attention_hidden_size",
    "add_cross_attention",
    // What the library returns, and classification heads.
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "torchscript",
    "use_bfloat16",
    "chunk_size_feed_forward",
    "pruned_heads",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "summary_type",
    "summary_use_proj",
    "summary_activation",
    "summary_proj_to_labels",
    "summary_first_dropout",
    "use_return_dict",
    "gradient_checkpointing",
    // Initialisation, regularisation and small numbers. Dropout comes from the scenario.
    "initializer_range",
    "rms_norm_eps",
    "layer_norm_epsilon",
    "layer_norm_eps",
    "attention_dropout",
    "attn_pdrop",
    "embd_pdrop",
    "resid_pdrop",
    "hidden_dropout",
    "embedding_dropout",
    "classifier_dropout",
    "scale_attn_weights",
    "scale_attn_by_inverse_layer_idx",
    "reorder_and_upcast_attn",
    "pretraining_tp",
    // Which element-wise function an MLP applies: they cost the same.
    "hidden_act",
    "activation_function",
    "hidden_activation",
    // Positions and windows. A sliding window is not modelled: attention sees the whole sequence.
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "rope_interleaved",
    "partial_rotary_factor",
    "rotary_pct",
    "rotary_emb_base",
    "sliding_window",
    "use_sliding_window",
    "max_window_layers",
    "layer_types",
    "original_max_position_embeddings",
    "n_ctx",
    "use_mrope",
    "attention_type",
    "quantization_config",
    // How a router chooses, scales and balances: it costs next to nothing whichever way.
    "router_aux_loss_coef",
    "aux_loss_alpha",
    "seq_aux",
    "ep_size",
    "router_jitter_noise",
    "output_router_logits",
    "norm_topk_prob",
    "n_group",
    "topk_group",
    "topk_method",
    "scoring_func",
    "routed_scaling_factor",
    "swiglu_limit",
    "initial_context_length",
    // A further layer that predicts one token more.
    "num_nextn_predict_layers",
    // Biases of families that fix them; those that do not (llama, qwen3) read these keys first.
    "attention_bias",
    "mlp_bias",
};

constexpr std::string_view kExperts[] = {"num_local_experts",
                                         "num_experts",
                                         "n_routed_experts",
                                         "n_shared_experts",
                                         "num_experts_per_tok",
                                         "num_experts_per_token",
                                         "experts_per_token",
                                         "moe_intermediate_size",
                                         "first_k_dense_replace",
                                         "moe_layer_freq",
                                         "decoder_sparse_step",
                                         "mlp_only_layers",
                                         "shared_expert_intermediate_size"};

constexpr std::string_view kLatentAttention[] = {"kv_lora_rank", "q_lora_rank", "qk_rope_head_dim",
                                                 "qk_nope_head_dim", "v_head_dim"};

// Of any one size: products of two are then far from overflow.
constexpr std::int64_t kLargestCount = 1'000'000'000'000;

std::int64_t at_least(Reader& reader, const std::string& key, std::int64_t fallback,
                      std::int64_t minimum) {
  if (is_given(reader, key)) {
    const std::int64_t n = reader.count(key, fallback, minimum);
    if (n <= kLargestCount) return n;
    reader.error(key, "expected at most 10^12, got " + std::to_string(n));
    return fallback;
  }
  reader.ignore(std::array{key});
  return fallback;
}

}  // namespace

std::span<const std::string_view> unneeded_keys() { return kUnneeded; }
std::span<const std::string_view> expert_keys() { return kExperts; }
std::span<const std::string_view> latent_attention_keys() { return kLatentAttention; }

bool is_given(const Reader& reader, const std::string& key) {
  const Value* v = reader.value().is_map() ? reader.value().find(key) : nullptr;
  return v != nullptr && !v->is_null();
}

std::int64_t size_or(Reader& reader, const std::string& key, std::int64_t fallback) {
  return at_least(reader, key, fallback, 0);
}

std::int64_t count_or(Reader& reader, const std::string& key, std::int64_t fallback) {
  return at_least(reader, key, fallback, 1);
}

bool flag_or(Reader& reader, const std::string& key, bool fallback) {
  if (is_given(reader, key)) return reader.optional<bool>(key, fallback);
  reader.ignore(std::array{key});
  return fallback;
}

}  // namespace rehearse
