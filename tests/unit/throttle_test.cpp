#include "tests/unit/runtime_scenarios.hpp"

// What attention counts for under the power limit.
namespace rehearse {
namespace {

Simulation on_b200(const std::string& throttles_as) {
  const std::string text =
      "model: {name: llama3-8b, num_hidden_layers: 1}\n"
      "cluster: {name: dgx-b200, nodes: 1, gpus_per_node: 1, gpu: {name: b200-sxm, efficiency: "
      "{attention: {throttles_as: " +
      throttles_as +
      "}}}}\ntraining: {sequence_length: 65536, micro_batch_size: 1, global_batch_size: 1, "
      "precision: bf16}\nplan: {data_parallel: 1}\nruntime: megatron\n";
  return simulate(read_scenarios(parse_text(text, "test"), "test").front());
}

TEST_CASE("attention that draws less slows a step less") {
  const Simulation less = on_b200("0.29"), alike = on_b200("1");
  CHECK(less.report.step_time < alike.report.step_time);
  CHECK(less.cluster.gpu.sustained_clock > alike.cluster.gpu.sustained_clock);
}

TEST_CASE("attention that draws nothing is a user's mistake") {
  CHECK_THROWS_WITH(on_b200("0"), Catch::Contains("throttles_as"));
}

}  // namespace
}  // namespace rehearse
