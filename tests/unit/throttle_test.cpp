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

// What is left above idle is what products draw: 0.81 pJ a FLOP (h100-sxm/gemm_sustained.csv).
TEST_CASE("a product alone sustains what the limit leaves, of H100 at 700 and at 500 W") {
  constexpr double burst = 800e12, joules_per_flop = 0.81e-12, idle = 128;
  for (const auto& [name, limit] :
       {std::pair{"h100-sxm", 700.0}, std::pair{"h100-sxm-500w", 500.0}}) {
    const Gpu gpu = read_gpu(resolve("gpus", Value::scalar(name)));
    const double longer = gpu.throttle_products.at(FlopsPerSecond(burst));
    CHECK(idle + joules_per_flop * burst / longer == Approx(limit).epsilon(0.01));
    // GPUs of one kind differ as much in what they sustain.
    CHECK(gpu.throttle_spread * (longer - 1) / longer == Approx(0.037).epsilon(0.02));
  }
}

TEST_CASE("attention that draws nothing is a user's mistake") {
  CHECK_THROWS_WITH(on_b200("0"), Catch::Contains("throttles_as"));
}

}  // namespace
}  // namespace rehearse
