#include <catch2/catch.hpp>

#include "models/model.hpp"
#include "tests/oracle/inference.hpp"

// O42. A token for each of b sequences reads every weight (but the embedding's, of which it reads b
// rows) and every sequence's cache once: the step takes at least (W + b KV) / bandwidth, and at
// least 2 N b / peak. Without the cache the two meet at b = peak x bytes / (2 bandwidth), bytes of
// a parameter: 153 for two bytes on an A100 (312 TFLOP/s, 2,039 GB/s).

using namespace rehearse;
using namespace rehearse::test;

namespace {

double weight_bytes(const Simulation& s) {
  return 2.0 * (static_cast<double>(parameter_count(s.model)) - 512.0 * kInferHidden);
}

}  // namespace

TEST_CASE("o42: decode takes at least what its weights and its cache take to read") {
  for (const int batch : {1, 8, 32}) {
    const Simulation s = infer("decode", 4, 1, 1, batch, 1, 1023, "1 GB/s");
    const double least = weight_bytes(s) + static_cast<double>(s.report.kv_cache_peak.value);
    CAPTURE(batch);
    CHECK(s.report.step_time.value >= least / 1e9);
    // Activations are what is left: tens of rows of a few hundred bytes a layer and sequence.
    CHECK(s.report.step_time.value <= (least + batch * kInferLayers * 200.0 * kInferHidden) / 1e9);
  }
}

TEST_CASE("o42: with a fast memory decode takes two FLOPs a parameter and token") {
  const Simulation s = infer("decode", 4, 1, 1, 16, 1, 1);
  const double products = weight_bytes(s) * 16;  // 2 N b FLOPs, N two-byte weights
  CHECK(s.report.step_time.value == Approx(products / kIdealPeak).epsilon(0.01));
}

// The bench GPU has 1 TFLOP/s; with 1/153 of it in bytes a second the crossover is at 153
// sequences.
TEST_CASE("o42: products stop being bound by memory where peak x bytes / (2 bandwidth) says") {
  const std::string bandwidth = fmt::format("{} GB/s", 1000.0 / 153);
  const auto slope = [&](int b) {
    const auto time = [&](int batch) {
      return infer("decode", 4, 1, 1, batch, 1, 1, bandwidth).report.step_time.value;
    };
    return (time(2 * b) - time(b)) / time(b);
  };
  CHECK(slope(1) < 0.1);     // twice the tokens for the same weights
  CHECK(slope(2000) > 0.9);  // twice the work
}
