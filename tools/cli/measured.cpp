#include "tools/cli/measured.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "sim/base/error.hpp"

namespace rehearse {
namespace {

using Json = nlohmann::ordered_json;

Json model_of(const Json& row) {
  const Json& m = row.at("model");
  const bool gpt = m.at("family") == "gpt", experts = m.contains("experts");
  Json out{{"description", row.value("model_name", "measured")},
           {"model_type", gpt       ? "gpt2"
                          : experts ? "mixtral"
                                    : "llama"},
           {"num_hidden_layers", m.at("layers")},
           {"hidden_size", m.at("hidden")},
           {"num_attention_heads", m.at("heads")},
           {"vocab_size", m.at("vocab")},
           {"tie_word_embeddings", m.value("tied", false)}};
  if (experts) {
    out["num_local_experts"] = m.at("experts");
    out["num_experts_per_tok"] = m.at("topk");
  }
  if (gpt) {
    out["n_inner"] = m.at("ffn");
    out["n_positions"] = row.at("seq");
  } else {
    out["intermediate_size"] = m.at("ffn");
    out["num_key_value_heads"] = m.at("kv_heads");
    out["max_position_embeddings"] = row.value("seq", 131072);
  }
  return out;
}

const char* schedule_of(const std::string& name) {
  constexpr std::pair<const char*, const char*> kNames[] = {
      {"GPipe", "gpipe"},
      {"1F1B", "1f1b"},
      {"Interleaved1F1B", "interleaved-1f1b"},
      {"InterleavedZeroBubble", "interleaved-zero-bubble"},
      {"ZBV", "zbv"}};
  for (const auto& [theirs, ours] : kNames)
    if (name == theirs) return ours;
  return "1f1b";
}

// Context parallelism over the ranks that the row calls data-parallel; `seq` is one rank's part.
bool ulysses(const Json& row) { return row.at("plan").value("cp", false); }

Json plan_of(const Json& row) {
  const Json& p = row.at("plan");
  const std::string kind = p.at("kind");
  Json out{{"data_parallel", p.value("dp", 1)},
           {"tensor_parallel", p.value("tp", 1)},
           {"pipeline_parallel", p.value("pp", 1)},
           {"vocabulary_parallel", false}};
  if (kind == "tp") {
    out["sequence_parallel"] = p.value("sp", false);
    out["gradient_sync"] = "end";
  } else if (kind == "pp") {
    out["schedule"] = schedule_of(p.at("schedule"));
    out["virtual_stages"] = p.at("schedule") == "ZBV" ? 2 : p.value("vstages", 1);
    if (p.value("dp", 1) > 1) out["gradient_sync"] = "end";
  } else if (kind == "fsdp" || kind == "zero1" || kind == "zero2") {
    out["zero_stage"] = kind == "zero1" ? 1 : kind == "zero2" ? 2 : 3;
  }
  if (p.value("ep", false)) out["expert_parallel"] = p.value("dp", 1);
  if (ulysses(row)) {
    out["data_parallel"] = 1;
    out["context_parallel"] = p.value("dp", 1);
    out["context_parallel_method"] = "ulysses";
  }
  if (kind == "ddp" || kind == "zero1")
    out["bucket_size"] = fmt::format("{} MiB", p.value("bucket_mb", 25));
  return out;
}

std::string precision_of(const Json& row) {
  const std::string kind = row.at("plan").at("kind"), given = row.value("precision", "bf16");
  if (kind == "fsdp" || kind == "zero2") return given == "bf16pure" ? "bf16" : "fsdp-mixed";
  return given == "bf16pure" ? "bf16" : given;
}

Json scenario_of(const Json& row) {
  const std::int64_t micro = row.at("micro_batch"), dp = row.at("plan").value("dp", 1);
  const int world = row.value("world", 1);
  const std::int64_t parts = ulysses(row) ? dp : 1, sequences = ulysses(row) ? 1 : dp;
  Json training{{"sequence_length", row.at("seq").get<std::int64_t>() * parts},
                {"micro_batch_size", micro},
                {"global_batch_size", micro * row.at("num_micro").get<std::int64_t>() * sequences},
                {"precision", precision_of(row)},
                {"batches", "repeated"},  // the programs make one, once
                {"recompute", row.value("recompute", "none")}};
  if (row.contains("lora"))  // of the attention's products
    training["lora"] = {{"rank", row.at("lora")}, {"targets", {"qkv", "proj"}}};
  return {{"name", row.at("name")},
          {"model", model_of(row)},
          {"cluster", fmt::format("h200-{}", world)},
          {"training", training},
          {"plan", plan_of(row)},
          {"runtime", row.value("compile", false) ? "pytorch-compile" : "pytorch-eager"}};
}

template <class T>
std::vector<T> list_of(const Json& row, const char* key) {
  if (!row.contains(key) || row.at(key).is_null()) return {};
  if (row.at(key).is_array()) return row.at(key).get<std::vector<T>>();
  return {row.at(key).get<T>()};
}

std::optional<Bytes> largest(const Json& row, const char* key) {
  const auto values = list_of<std::int64_t>(row, key);
  if (values.empty()) return std::nullopt;
  return Bytes(*std::max_element(values.begin(), values.end()));
}

// `kernels_by_rank`: {"0": [{"name", "count", "total_us"}, ...], ...}.
std::vector<std::pair<int, KernelTotals>> kernels_of(const Json& row) {
  std::vector<std::pair<int, KernelTotals>> out;
  if (!row.contains("kernels_by_rank")) return out;
  for (const auto& [rank, kernels] : row.at("kernels_by_rank").items()) {
    KernelTotals totals;
    for (const Json& k : kernels)
      totals.add(classify_kernel(k.at("name").get<std::string>()),
                 Seconds(k.at("total_us").get<double>() * 1e-6), k.at("count"));
    out.emplace_back(std::stoi(rank), totals);
  }
  return out;
}

MeasuredRun run_of(const Json& row, const std::string& file) {
  MeasuredRun out;
  out.name = row.at("name");
  out.series = row.value("bound", "");
  out.out_of_memory = row.value("out_of_memory", false);
  const auto steps = list_of<double>(row, "step_s");
  if (!steps.empty())
    out.step = Seconds(std::accumulate(steps.begin(), steps.end(), 0.0) /
                       static_cast<double>(steps.size()));
  out.peak = largest(row, "peak_allocated_bytes");
  out.reserved = largest(row, "peak_reserved_bytes");
  const auto before = list_of<std::int64_t>(row, "model_allocated_bytes");
  if (!before.empty()) out.before_steps = Bytes(before.front());
  out.kernels = kernels_of(row);
  const std::string text = scenario_of(row).dump(1);
  out.scenario = read_scenarios(parse_text(text, file), out.name);
  return out;
}

// A row of calibration/measure_inference.py is three runs of one model: a prefill, and a token by
// eager calls and by a CUDA graph. The memory is the largest of all, which is the prefill's.
std::vector<MeasuredRun> inference_runs(const Json& row, const std::string& file) {
  struct Kind {
    const char *field, *series, *task;
    bool graph;
  };
  constexpr Kind kKinds[] = {{"prefill_s", "prefill", "prefill", false},
                             {"decode_eager_s", "decode, eager", "decode", false},
                             {"decode_graph_s", "decode, CUDA graph", "decode", true}};
  std::vector<MeasuredRun> out;
  for (const Kind& k : kKinds) {
    if (!row.contains(k.field)) continue;
    MeasuredRun run;
    const std::string kind = std::string(k.field).substr(0, std::string(k.field).size() - 2);
    run.name = fmt::format("{}.{}", row.at("name").get<std::string>(), kind);
    run.series = k.series;
    run.step = Seconds(row.at(k.field).get<double>());
    if (!k.graph && run.series == "prefill") run.peak = largest(row, "peak_alloc");
    const int tensor = row.value("tp", 1);
    const Json scenario{{"name", run.name},
                        {"task", k.task},
                        {"model", model_of(row)},
                        {"cluster", fmt::format("h200-{}", tensor)},
                        {"inference",
                         {{"batch", row.at("batch")},
                          {"prompt_length", row.at("prompt")},
                          {"context_length", row.at("context")},
                          {"cuda_graph", k.graph}}},
                        {"plan", {{"tensor_parallel", tensor}}}};
    run.scenario = read_scenarios(parse_text(scenario.dump(1), file), run.name);
    out.push_back(std::move(run));
  }
  return out;
}

}  // namespace

std::vector<MeasuredRun> read_measured(const std::string& path) {
  if (path.ends_with(".yaml") || path.ends_with(".yml")) return read_published(path);
  std::ifstream in(path);
  if (!in) throw UserError({path, 0, 0}, "cannot read the file of measured runs");
  std::vector<MeasuredRun> out;
  Diagnostics errors;
  std::string line;
  for (int n = 1; std::getline(in, line); ++n) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    try {
      const Json row = Json::parse(line);
      if (row.contains("prompt")) {
        for (MeasuredRun& run : inference_runs(row, path)) out.push_back(std::move(run));
      } else {
        out.push_back(run_of(row, path));
      }
    } catch (const Json::exception& e) {
      errors.add({path, n, 1}, fmt::format("not a measured run: {}", e.what()),
                 "calibration/measure_steps.py writes this format");
    }
  }
  errors.throw_if_any();
  if (out.empty()) throw UserError({path, 0, 0}, "the file has no measured runs");
  return out;
}

}  // namespace rehearse
