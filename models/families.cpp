#include "models/families.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "models/families/keys.hpp"
#include "models/families/readers.hpp"
#include "sim/base/suggest.hpp"

namespace rehearse {

namespace {

constexpr std::array kFamilies{
    ModelFamily{"gpt2", "layer norm, biases, GELU, learned positions, multi-head attention",
                &read_gpt2},
    ModelFamily{"llama", "RMS norm, no biases, SwiGLU, rotary positions, grouped-query attention",
                &read_llama},
    ModelFamily{"mistral", "as llama, with 8 key-value heads by default", &read_mistral},
    ModelFamily{"mpt",
                "layer norm, no biases, GELU, learned positions or ALiBi, multi-head attention",
                &read_mpt},
    ModelFamily{"qwen2", "as llama, with biases on queries, keys and values", &read_qwen2},
    ModelFamily{"qwen3", "as llama, with an RMS norm on each query and key head", &read_qwen3},
    ModelFamily{"mixtral", "as mistral, with experts in every layer", &read_mixtral},
    ModelFamily{"qwen3_moe", "as qwen3, with many small experts", &read_qwen3_moe},
    ModelFamily{"deepseek_v2", "latent attention, shared and routed experts, first layers dense",
                &read_deepseek_v2},
    ModelFamily{"deepseek_v3", "as deepseek_v2, with DeepSeek-V3's defaults", &read_deepseek_v3},
    ModelFamily{"kimi_k2", "as deepseek_v3", &read_deepseek_v3},
    ModelFamily{"megatron_gpt", "Megatron-LM's GPT by its launch arguments, dense or with experts",
                &read_megatron_gpt},
    ModelFamily{"gpt_oss", "experts with biases, attention with sinks", &read_gpt_oss},
};

// Families with experts of a kind that none of the above has.
constexpr std::array<std::string_view, 6> kOtherExpertFamilies{
    "qwen2_moe", "deepseek", "olmoe", "dbrx", "phimoe", "llama4_text"};

constexpr std::string_view kOtherExperts =
    "its experts are not simulated by this version, and a dense model of the same shape would cost "
    "something else";

std::string family_list() {
  std::string text;
  for (const ModelFamily& f : kFamilies) text += (text.empty() ? "" : ", ") + std::string(f.name);
  return text;
}

const ModelFamily* find_family(Reader& reader) {
  if (!reader.has("model_type")) {
    reader.error("model_type", "missing", "one of " + family_list());
    return nullptr;
  }
  const std::string type = reader.required<std::string>("model_type");
  for (const ModelFamily& f : kFamilies) {
    if (f.name == type) return &f;
  }
  if (std::find(kOtherExpertFamilies.begin(), kOtherExpertFamilies.end(), type) !=
      kOtherExpertFamilies.end()) {
    reader.error("model_type", "'" + type + "': " + std::string(kOtherExperts),
                 "families that are: " + family_list());
    return nullptr;
  }
  std::vector<std::string> names;
  for (const ModelFamily& f : kFamilies) names.emplace_back(f.name);
  reader.error("model_type", "unknown family '" + type + "'", suggestion(type, names));
  return nullptr;
}

// Keys that the family did not ask for, and that no model of it has.
void refuse(Reader& reader, std::span<const std::string_view> keys, const std::string& why) {
  for (std::string_view key : keys) {
    const std::string name(key);
    if (reader.knows(name)) continue;
    if (is_given(reader, name)) reader.error(name, why);
    reader.ignore(std::array{name});
  }
}

void check_experts(Reader& reader, const Model& m) {
  if (m.experts.per_token > m.experts.count) {
    reader.error("num_experts_per_tok", "a token cannot go to " +
                                            std::to_string(m.experts.per_token) + " of " +
                                            std::to_string(m.experts.count) + " experts");
  }
}

// What no family can be: shapes that do not divide, or that overflow what counts them.
void check_shape(Reader& reader, const Model& m) {
  if (m.head_size == 0) {
    reader.error(reader.has("n_head") ? "n_head" : "num_attention_heads",
                 "a hidden size of " + std::to_string(m.hidden) + " does not divide into " +
                     std::to_string(m.heads) + " heads",
                 "give a number of heads that divides it, or a head_dim where the family has one");
  }
  if (m.heads % m.kv_heads != 0) {
    reader.error("num_key_value_heads",
                 std::to_string(m.heads) + " attention heads cannot share " +
                     std::to_string(m.kv_heads) + " key-value heads evenly",
                 "num_attention_heads must be a multiple of num_key_value_heads");
  }
  if (m.position == PositionKind::kRotary && m.head_size % 2 != 0) {
    reader.error("head_dim",
                 "rotary positions need an even head size, not " + std::to_string(m.head_size));
  }
  check_experts(reader, m);
  const double width = static_cast<double>(m.heads) + 2.0 * static_cast<double>(m.kv_heads);
  const double block =
      static_cast<double>(m.hidden) *
      (2.0 * width * static_cast<double>(m.head_size) + 3.0 * static_cast<double>(m.intermediate) +
       3.0 * static_cast<double>(m.experts.count) * static_cast<double>(m.experts.intermediate));
  const double total =
      static_cast<double>(m.layers) * block +
      2.0 * static_cast<double>(m.hidden) *
          (static_cast<double>(m.vocabulary) + static_cast<double>(m.max_positions));
  if (total > 1e17) {
    reader.error("num_hidden_layers", "the model would have more than 10^17 parameters",
                 "check its sizes");
  }
}

std::string name_of(Reader& reader) {
  if (is_given(reader, "name")) return reader.required<std::string>("name");
  return "inline";
}

}  // namespace

std::span<const ModelFamily> model_families() { return kFamilies; }

Model read_model(const Value& tree) {
  Diagnostics diagnostics;
  if (!tree.is_map()) {
    throw UserError(tree.mark(), "a model is a mapping of Hugging Face keys");
  }
  Reader reader(tree, "model", diagnostics);
  const ModelFamily* family = find_family(reader);
  if (family == nullptr) diagnostics.throw_if_any();
  Model model = family->read(reader);
  model.name = name_of(reader);
  model.family = family->name;
  const std::string whose = " of a model with experts; '" + model.family + "' has none such";
  refuse(reader, expert_keys(), "a key" + whose);
  refuse(reader, latent_attention_keys(),
         "a key of latent attention, which '" + model.family + "' does not have");
  if (diagnostics.empty()) check_shape(reader, model);
  std::vector<std::string> ignored;
  for (std::string_view key : unneeded_keys()) ignored.emplace_back(key);
  reader.ignore(ignored);
  reader.finish();
  diagnostics.throw_if_any();
  return model;
}

}  // namespace rehearse
