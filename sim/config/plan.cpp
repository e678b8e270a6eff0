#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <vector>

#include "sim/base/suggest.hpp"
#include "sim/config/sections.hpp"

namespace rehearse {
namespace {

// A degree of parallelism, and what is counted like one.
int degree(Reader& r, const std::string& key, int fallback) {
  const std::int64_t n = r.count(key, fallback);
  if (n > std::numeric_limits<int>::max()) {
    r.error(key, "expected an integer below 2^31, got '" + std::to_string(n) + "'");
    return fallback;
  }
  return static_cast<int>(n);
}

std::string read_schedule(Reader& r) {
  static const std::vector<std::string> kSchedules{
      "gpipe", "1f1b", "interleaved-1f1b", "interleaved-zero-bubble", "zb-h1",
      "zb-h2", "zbv",  "dualpipe"};
  constexpr std::size_t k1F1B = 1;
  return kSchedules[r.choice("schedule", kSchedules, k1F1B)];
}

// Empty for auto.
std::vector<int> read_stage_layers(Reader& r, int chunks) {
  const Value& v = r.raw("stage_layers");
  if (v.is_null() || (v.is_scalar() && v.as_scalar().text == "auto")) return {};
  if (!v.is_list()) {
    r.error("stage_layers", "expected 'auto' or a list of layer counts, got " +
                                (v.is_scalar() ? "'" + v.as_scalar().text + "'" : "a mapping"));
    return {};
  }
  std::vector<int> layers = r.list<int>("stage_layers");
  if (layers.size() != v.as_list().size()) return {};  // an item was wrong, and is reported
  const auto negative = std::find_if(layers.begin(), layers.end(), [](int n) { return n < 0; });
  if (negative != layers.end()) {
    r.error("stage_layers", "a chunk cannot hold " + std::to_string(*negative) + " layers");
  } else if (layers.size() != static_cast<std::size_t>(chunks)) {
    r.error("stage_layers", "it lists " + std::to_string(layers.size()) + " chunks, but " +
                                "pipeline_parallel x virtual_stages is " + std::to_string(chunks));
  }
  return layers;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

std::vector<std::string> read_rank_order(Reader& r) {
  std::vector<std::string> standard = Plan{}.rank_order;
  const std::string text = r.optional<std::string>("rank_order", "tp-cp-ep-dp-pp");
  std::vector<std::string> order = split(text, '-');
  std::vector<std::string> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  const std::vector<std::string> without_experts{"cp", "dp", "pp", "tp"};
  const std::vector<std::string> all{"cp", "dp", "ep", "pp", "tp"};
  if (sorted == without_experts || sorted == all) return order;
  r.error("rank_order",
          "expected tp, cp, dp and pp (and ep) once each, innermost first, got '" + text + "'",
          "such as tp-cp-ep-dp-pp");
  return standard;
}

void read_zero(Reader& r, bool megatron, Plan& plan) {
  static const std::vector<std::string> kSync{"overlap", "end"};
  static const std::vector<std::string> kReduction{"last_micro_batch", "every_micro_batch"};
  const std::int64_t stage = r.count("zero_stage", 0, 0);
  if (stage > 3) {
    r.error("zero_stage", "expected 0, 1, 2 or 3, got '" + std::to_string(stage) + "'");
  } else {
    plan.zero_stage = static_cast<int>(stage);
  }
  plan.gradient_sync = static_cast<GradientSync>(r.choice("gradient_sync", kSync, 0));
  plan.gradient_reduction =
      static_cast<GradientReduction>(r.choice("gradient_reduction", kReduction, megatron ? 1 : 0));
  plan.states_bucket_size = r.has("bucket_size");
  plan.bucket_size = r.optional<Bytes>("bucket_size", plan.bucket_size);
  if (plan.bucket_size.value <= 0) r.error("bucket_size", "expected a size above zero");
}

Offload read_offload(Reader& r) {
  static const std::vector<std::string> kWhat{"optimizer", "parameters", "activations"};
  Offload out;
  for (const std::string& what : r.list<std::string>("offload")) {
    if (what == kWhat[0]) {
      out.optimizer = true;
    } else if (what == kWhat[1]) {
      out.parameters = true;
    } else if (what == kWhat[2]) {
      out.activations = true;
    } else {
      r.error("offload", "'" + what + "' is not offloaded", suggestion(what, kWhat));
    }
  }
  return out;
}

}  // namespace

Plan read_plan(Reader& r, const std::string& runtime_name) {
  static const std::vector<std::string> kMethods{"ring", "all_gather", "ulysses"};
  const bool megatron = runtime_name.starts_with("megatron");
  Plan plan;
  plan.data_parallel = degree(r, "data_parallel", 0);
  plan.tensor_parallel = degree(r, "tensor_parallel", 1);
  plan.sequence_parallel = r.optional<bool>("sequence_parallel", false);
  plan.vocabulary_parallel = r.optional<bool>("vocabulary_parallel", megatron);
  plan.pipeline_parallel = degree(r, "pipeline_parallel", 1);
  plan.schedule = read_schedule(r);
  plan.virtual_stages = degree(r, "virtual_stages", 1);
  plan.context_parallel = degree(r, "context_parallel", 1);
  plan.context_parallel_method =
      static_cast<ContextParallelMethod>(r.choice("context_parallel_method", kMethods, 0));
  static const std::vector<std::string> kMessages{"overlap", "blocking"};
  // Megatron's own schedules block; those that split backward came with messages that do not.
  const bool blocks = megatron && (plan.schedule == "gpipe" || plan.schedule.ends_with("1f1b"));
  plan.pipeline_messages =
      static_cast<PipelineMessages>(r.choice("pipeline_messages", kMessages, blocks ? 1 : 0));
  const std::int64_t chunks = std::int64_t{plan.pipeline_parallel} * plan.virtual_stages;
  if (chunks > 1'000'000) {
    r.error("virtual_stages", "a pipeline of " + std::to_string(chunks) + " chunks");
  } else {
    plan.stage_layers = read_stage_layers(r, static_cast<int>(chunks));
  }
  static const std::vector<std::string> kDispatch{"all_to_all", "all_gather"};
  plan.expert_parallel = degree(r, "expert_parallel", 1);
  plan.expert_tensor_parallel =
      r.raw("expert_tensor_parallel").is_null() ? 0 : degree(r, "expert_tensor_parallel", 1);
  plan.expert_dispatch = static_cast<ExpertDispatch>(r.choice("expert_dispatch", kDispatch, 0));
  read_zero(r, megatron, plan);
  plan.rank_order = read_rank_order(r);
  plan.offload = read_offload(r);
  return plan;
}

}  // namespace rehearse
