#include <catch2/catch.hpp>

#include "strategies/expert/load.hpp"
#include "tests/oracle/ideal.hpp"

// O25. A mixture of experts over e expert-parallel ranks: each of a rank's T tokens goes to k
// experts, of which with uniform routing (e - 1) / e are on other ranks. A row is h numbers of two
// bytes. Forward sends rows to their experts and results back, and backward sends both gradients
// the other way: 2 + 2 all-to-all a layer, each of k T h 2 bytes, of which k T h 2 (e - 1) / e
// leave the rank.

using namespace rehearse;
using namespace rehearse::test;

namespace {

constexpr std::int64_t kLayers = 3, kHidden = 64, kTokens = 2 * 64, kChosen = 2;

Simulation experts(int ranks, const std::string& runtime, const std::string& plan = "") {
  Ideal ideal;
  ideal.model = fmt::format(
      "{{model_type: mixtral, hidden_size: {}, intermediate_size: 32, num_attention_heads: 1, "
      "num_key_value_heads: 1, num_hidden_layers: {}, vocab_size: 1, num_local_experts: 8, "
      "num_experts_per_tok: {}}}",
      kHidden, kLayers, kChosen);
  ideal.gpus = ranks;
  ideal.training =
      fmt::format("sequence_length: 64, micro_batch_size: 2, global_batch_size: {}", 2 * ranks);
  ideal.plan = fmt::format("expert_parallel: {}{}", ranks, plan);
  ideal.runtime = runtime;
  return simulate(ideal);
}

std::int64_t count(const Simulation& s, const std::string& operation) {
  std::int64_t n = 0;
  for (const auto& c : s.report.communication)
    if (c.group == "ep" && c.operation == operation) n += c.count;
  return n;
}

std::int64_t wire(const Simulation& s, const std::string& operation) {
  std::int64_t n = 0;
  for (const auto& c : s.report.communication)
    if (c.group == "ep" && c.operation == operation) n += c.wire_bytes_per_rank.value;
  return n;
}

}  // namespace

TEST_CASE("o25: four all-to-all a layer, each of k T h 2 (e - 1) / e bytes") {
  for (const char* runtime : {"pytorch-eager", "megatron"})
    for (const int ranks : {2, 4, 8}) {
      CAPTURE(runtime, ranks);
      const Simulation s = experts(ranks, runtime);
      CHECK(count(s, "all_to_all") == 4 * kLayers);
      CHECK(wire(s, "all_to_all") ==
            4 * kLayers * kChosen * kTokens * kHidden * 2 * (ranks - 1) / ranks);
    }
}

TEST_CASE("o25: gathered tokens are T h 2 (e - 1) bytes, whatever k") {
  const Simulation s = experts(4, "megatron", ", expert_dispatch: all_gather");
  CHECK(count(s, "all_to_all") == 0);
  CHECK(count(s, "all_gather") == 2 * kLayers);
  CHECK(count(s, "reduce_scatter") == 2 * kLayers);
  CHECK(wire(s, "all_gather") == 2 * kLayers * kTokens * kHidden * 2 * 3);
}

TEST_CASE("o25: a step is as slow as the rank with the most rows") {
  const std::string text =
      "model: {model_type: mixtral, hidden_size: 64, intermediate_size: 4096, num_attention_heads: "
      "1, num_key_value_heads: 1, num_hidden_layers: 1, vocab_size: 1, num_local_experts: 8, "
      "num_experts_per_tok: 1}\n"
      "cluster: {gpu: {architecture: none, sm_count: 1, boost_clock_mhz: 1000, peak: {bf16: 1 "
      "TFLOP/s}, memory: 1000 TB, memory_bandwidth: inf}, gpus_per_node: 8, intra_node: {type: "
      "nvswitch, bandwidth: inf, latency: 0 us}}\n"
      "plan: {expert_parallel: 8}\nruntime: pytorch-eager\n"
      "training: {causal: false, sequence_length: 64, micro_batch_size: 1, global_batch_size: 8, "
      "expert_load: {distribution: ";
  const double uniform = simulate_text(text + "uniform}}\n").report.step_time.value;
  const double zipf = simulate_text(text + "zipf, exponent: 1}}\n").report.step_time.value;
  // Of 512 rows the most wanted of 8 experts gets 1 / H_8 = 0.368 instead of 1 / 8; its products
  // are 3 x 3 x 2 x 64 x 4096 FLOPs a row.
  const double row = 9 * 2 * 64 * 4096 / kIdealPeak;
  CHECK(zipf - uniform == Approx((188 - 64) * row).epsilon(0.02));
}

// A host of a hundredth of the speed leaves the GPU waiting, so a step takes what its host takes:
// of an expert's two products two calls forward and four backward, each more by `host_unseen` where
// its rows are new.
TEST_CASE("o25: on one repeated batch the host pays for numbers of rows that are new") {
  const auto step = [](const std::string& batches, const std::string& grouped) {
    const std::string text =
        "model: {model_type: mixtral, hidden_size: 64, intermediate_size: 64, num_attention_heads: "
        "1, num_key_value_heads: 1, num_hidden_layers: 3, vocab_size: 64, num_local_experts: 8, "
        "num_experts_per_tok: 2}\n"
        "cluster: {name: h200-1, host: {speed: 0.01}}\n"
        "runtime: {name: pytorch-eager, behaviour: {groups_experts: " +
        grouped +
        "}}\ntraining: {sequence_length: 1024, micro_batch_size: 1, global_batch_size: 1, "
        "precision: bf16, batches: " +
        batches + "}\n";
    return simulate(read_scenarios(parse_text(text, "t"), "t").front()).report.step_time.value;
  };
  const double calls = 2 * 77e-6 + 4 * 72e-6;
  const double expected = 100 * 3 * 8 * unseen_rows(256, 1024, 3 * 8) * calls;
  CHECK(step("repeated", "false") - step("fresh", "false") == Approx(expected).epsilon(0.01));
  CHECK(step("repeated", "true") == Approx(step("fresh", "true")).epsilon(1e-3));
}

namespace {

// A token for each of `batch` sequences of every rank.
Simulation decoding(int ranks, int batch, const std::string& plan, const std::string& bandwidth,
                    const std::string& settings = "") {
  return simulate_text(fmt::format(
      "model: {{model_type: mixtral, hidden_size: {}, intermediate_size: 4096, "
      "num_attention_heads: 2, num_key_value_heads: 2, num_hidden_layers: {}, vocab_size: 1, "
      "num_local_experts: 8, num_experts_per_tok: {}}}\n"
      "cluster: {{gpu: {{architecture: none, sm_count: 1, boost_clock_mhz: 1000, peak: {{bf16: 1 "
      "TFLOP/s}}, memory: 1000 TB, memory_bandwidth: {}}}, gpus_per_node: {}, intra_node: {{type: "
      "nvswitch, bandwidth: inf, latency: 0 us}}}}\n"
      "task: decode\ninference: {{batch: {}, context_length: 1{}}}\nplan: {{{}}}\n",
      kHidden, kLayers, kChosen, bandwidth, ranks, batch, settings, plan));
}

}  // namespace

TEST_CASE("o25: in inference two all-to-all a layer, of k b h 2 (e - 1) / e bytes") {
  for (const char* graph : {"", ", cuda_graph: true"})
    for (const int ranks : {2, 4, 8}) {
      const Simulation s =
          decoding(ranks, 16, fmt::format("expert_parallel: {}", ranks), "inf", graph);
      CAPTURE(graph, ranks);
      CHECK(count(s, "all_to_all") == 2 * kLayers);
      CHECK(wire(s, "all_to_all") ==
            2 * kLayers * kChosen * 16 * kHidden * 2 * (ranks - 1) / ranks);
    }
}

// A token's two experts are all that is read of eight; four tokens read them all, and eight no
// more.
TEST_CASE("o25: decoding reads the experts that its tokens go to") {
  const auto time = [](int batch) {
    return decoding(1, batch, "", "1 GB/s").report.step_time.value;
  };
  const double expert = 3.0 * kHidden * 4096 * 2 / 1e9;  // three matrices of two-byte weights
  const double few = time(1), all = time(4), more = time(8);
  CHECK(few > kLayers * 2 * expert);
  CHECK(few < kLayers * 2.2 * expert);
  CHECK(all - few == Approx(kLayers * 6 * expert).epsilon(0.1));
  CHECK(more - all < 0.5 * kLayers * expert);
}

// Each of two tensor-parallel ranks has half of every expert.
TEST_CASE("o25: tensor parallelism cuts experts in inference, and adds up a row a token") {
  const Simulation s = decoding(2, 16, "tensor_parallel: 2", "inf");
  const Communicated c = communicated(s, "all_reduce", "tp");
  CHECK(c.count == 2 * kLayers);
  CHECK(c.payload == 2 * kLayers * 16 * kHidden * 2);
}
