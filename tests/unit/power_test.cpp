#include "hardware/power.hpp"

#include <catch2/catch.hpp>

#include "hardware/gpu.hpp"
#include "sim/config/catalog.hpp"
#include "strategies/step_power.hpp"
#include "tools/cli/simulation.hpp"

using namespace rehearse;

namespace {

Gpu gpu(const std::string& name) { return read_gpu(resolve("gpus", Value::scalar(name))); }

RunReport run(const std::string& more) {
  const std::string text =
      "model: llama3.2-1b\ncluster: h200-2\n"
      "training: {sequence_length: 2048, micro_batch_size: 2, global_batch_size: 8}\n" +
      more;
  return simulate(read_scenarios(parse_text(text, "s.yaml"), "s").front()).report;
}

}  // namespace

TEST_CASE("Power grows with what runs, up to the limit") {
  const PowerModel p = gpu("h200-sxm").power;
  CHECK(p.average(0, 0, 0) == p.idle);
  CHECK(p.average(0.3, 0.2, 0).value ==
        Approx(p.idle.value + 0.3 * p.compute.value + 0.2 * p.memory.value));
  CHECK(p.average(1, 1, 1) == p.limit);
}

TEST_CASE("Power as measured on H200: products alone and beside copies") {
  // calibration/results/h200-sxm/gemm_sustained.csv: 674 W at 675 TFLOP/s; 676 W with half of the
  // time in copies and 781 TFLOP/s in the other half.
  const PowerModel p = gpu("h200-sxm").power;
  CHECK(p.average(675 / 989.4, 0, 0).value == Approx(674).epsilon(0.02));
  CHECK(p.average(0.5 * 781 / 989.4, 0.45, 0).value == Approx(676).epsilon(0.02));
}

TEST_CASE("Every GPU has a power model, and a transferred one keeps its shares of the limit") {
  const PowerModel measured = gpu("h200-sxm").power;
  for (const std::string& name : catalog_names("gpus")) {
    const PowerModel p = gpu(name).power;
    INFO(name);
    REQUIRE(p.limit.value > 0);
    CHECK_FALSE(p.source.empty());
    CHECK(p.idle.value / p.limit.value == Approx(measured.idle.value / measured.limit.value));
  }
}

TEST_CASE("A step's power lies between idle and the limit, and its energy is power times time") {
  const RunReport r = run("");
  const PowerModel p = gpu("h200-sxm").power;
  CHECK(r.economics.power > p.idle);
  CHECK(r.economics.power <= p.limit);
  const TrainingRun step = training_run(r, static_cast<double>(r.tokens_per_step));
  CHECK(step.joules == Approx(2 * r.economics.power.value * r.step_time.value));
}

TEST_CASE("A GPU that waits more draws less") {
  CHECK(run("plan: {pipeline_parallel: 2}\n").economics.power <
        run("plan: {data_parallel: 2}\n").economics.power);
}
