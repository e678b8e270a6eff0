#include <catch2/catch.hpp>

#include "sim/config/value.hpp"
#include "tests/property/plans.hpp"

namespace rehearse {
namespace {

constexpr const char* kNetwork =
    "gpus_per_node: 8, intra_node: {type: nvswitch, bandwidth: inf}, "
    "inter_node: {type: infiniband, bandwidth: inf}";
constexpr const char* kModel =
    "{model_type: llama, num_hidden_layers: 4, hidden_size: 256, num_attention_heads: 8, "
    "intermediate_size: 512, vocab_size: 64}";

Simulation run(const std::string& cluster, const std::string& plan) {
  const std::string text = fmt::format(
      "model: {}\ncluster: {{{}, {}}}\n"
      "training: {{sequence_length: 256, micro_batch_size: 1, global_batch_size: 1024}}\n"
      "plan: {{{}}}\n",
      kModel, cluster, kNetwork, plan);
  SimulationOptions options;
  options.ideal = true;
  return simulate(read_scenarios(parse_text(text, "test"), "test").front(), options);
}

std::string error_of(const std::string& cluster, const std::string& plan = "") {
  try {
    run(cluster, plan);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

// The step is the slowest rank's; 63 ranks compute for 0.8 of it and one for all of it:
// (63 * 0.8 + 1) / 64 = 0.803125.
TEST_CASE("one of 64 data-parallel ranks at 0.8 of the speed takes every step 1.25 times as long") {
  const Simulation even = run("gpu: h100-sxm, nodes: 8", "");
  const Simulation slow = run("gpu: h100-sxm, nodes: 8, deviations: [{gpus: 5, speed: 0.8}]", "");
  CHECK(slow.report.step_time.value == Approx(1.25 * even.report.step_time.value).epsilon(1e-5));
  CHECK(even.report.utilisation == Approx(1).epsilon(1e-5));
  CHECK(slow.report.utilisation == Approx(0.803125).epsilon(1e-5));
  CHECK(slow.program.ranks.size() == 2);
}

// Its seven neighbours compute for 0.8 of the step and are not simulated, nor are the 56 others.
TEST_CASE("who waits for a slow GPU of its tensor-parallel group does not compute") {
  const Simulation slow =
      run("gpu: h100-sxm, nodes: 8, deviations: [{gpus: 5, speed: 0.8}]", "tensor_parallel: 8");
  CHECK(slow.program.ranks.size() == 2);
  CHECK(slow.report.utilisation == Approx(0.803125).epsilon(1e-5));
}

TEST_CASE("one slow GPU in 1,024 is simulated beside one of the others") {
  const char* plan = "tensor_parallel: 8, pipeline_parallel: 4";
  const Simulation s =
      run("gpu: h100-sxm, nodes: 128, deviations: [{gpus: 517, speed: 0.5}]", plan);
  CHECK(s.program.ranks.size() == 8);
  int represented = 0;
  for (const RankProgram& r : s.program.ranks) represented += r.represents;
  CHECK(represented == 1024);
  CHECK(s.report.step_time > run("gpu: h100-sxm, nodes: 128", plan).report.step_time);
}

TEST_CASE("replicas on another type of GPU set the pace") {
  const Simulation mixed =
      run("gpu: h100-sxm, nodes: 2, deviations: [{nodes: 1, gpu: a100-sxm}]", "");
  const Simulation slow = run("gpu: a100-sxm, nodes: 2", "");
  CHECK(mixed.report.step_time.value == slow.report.step_time.value);
  CHECK(mixed.report.utilisation < 0.9);
}

TEST_CASE("types of GPU do not mix inside a tensor-parallel group") {
  CHECK_THAT(error_of("gpu: h100-sxm, nodes: 2, deviations: [{gpus: 9, gpu: a100-sxm}]",
                      "tensor_parallel: 8"),
             Catch::Contains("one tensor- or context-parallel group"));
}

TEST_CASE("a deviation that names no GPU of the cluster is refused") {
  CHECK_THAT(error_of("gpu: h100-sxm, nodes: 2, deviations: [{gpus: 16, speed: 0.5}]"),
             Catch::Contains("takes numbers of 0 to 15"));
  CHECK_THAT(error_of("gpu: h100-sxm, nodes: 2, deviations: [{speed: 0.5}]"),
             Catch::Contains("which 'gpus' or which 'nodes'"));
  CHECK_THAT(error_of("gpu: h100-sxm, nodes: 2, deviations: [{gpus: 3, speed: 1.5}]"),
             Catch::Contains("above 0 and at most 1"));
}

TEST_CASE("a group is as slow as the links of its slowest member") {
  Cluster c = read_cluster(parse_text(
      "{gpu: h100-sxm, nodes: 2, gpus_per_node: 8, intra_node: {type: nvswitch, bandwidth: 100 "
      "GB/s}, inter_node: {type: infiniband, bandwidth: 10 GB/s}, collectives: {ideal: true}, "
      "deviations: [{nodes: 1, lost_nics: 2}, {gpus: 3, intra_node_bandwidth: 0.5}]}",
      "test"));
  const std::vector<int> across{0, 8}, inside{0, 1, 2, 3}, spared{4, 5, 6, 7};
  CHECK(comm_group(c, across).links.inter_node == Approx(0.75));
  CHECK(comm_group(c, spared).links == LinkShare{});
  const auto time = [&](const std::vector<int>& ranks) {
    return price_collective(c, CollectiveOp::kAllReduce, Bytes(1 << 30), comm_group(c, ranks)).time;
  };
  CHECK(time(inside).value == Approx(2 * time(spared).value));
}

}  // namespace
}  // namespace rehearse
