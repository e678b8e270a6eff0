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

namespace {

// FLOPs of one token's decoding, c tokens being attended to, in multiply-adds: the products of a
// layer, those of attention, and the head.
double latent_flops(bool absorbed, double c) {
  const double h = kLatentHidden, a = kLatentHeads, r = kLatentRank, rot = kLatentRotary,
               plain = kLatentPlain, value = kLatentValue;
  const double common =
      h * a * (plain + rot) + h * (r + rot) + a * value * h + 3 * h * kLatentInner;
  const double layer = absorbed ? a * plain * r + a * r * value + c * a * (2 * r + rot)
                                : c * r * a * (plain + value) + c * a * (plain + rot + value);
  return 2 * (kLatentLayers * (common + layer) + h * kLatentVocabulary);
}

}  // namespace

// Unabsorbed, every cached latent is expanded to keys and values of all heads (rank x heads x
// (plain + value) each); absorbed, queries and results go through the same weights instead, once,
// and attention is of rank + rotary columns.
TEST_CASE("o42: what decoding with latents computes, absorbed and not") {
  for (const bool absorbed : {false, true})
    for (const int context : {63, 511}) {
      const std::string form =
          absorbed ? ", latent_attention: absorbed" : ", latent_attention: unabsorbed";
      const double time = infer_latent("decode", form, 1, 1, 4, 1, context).report.step_time.value;
      CAPTURE(absorbed, context);
      CHECK(time == Approx(4 * latent_flops(absorbed, context + 1) / kIdealPeak).epsilon(1e-6));
    }
}

TEST_CASE("o42: decode absorbs the products with latents where nothing else is said") {
  const auto time = [](const std::string& form) {
    return infer_latent("decode", form, 1, 1, 4, 1, 255).report.step_time.value;
  };
  CHECK(time("") == time(", latent_attention: absorbed"));
  CHECK(time("") < time(", latent_attention: unabsorbed"));
}

// Absorbed attention reads a latent once, as key and as value.
TEST_CASE("o42: twice the latents take twice as long to read") {
  const auto at = [](int context) {
    return infer_latent("decode", "", 1, 1, 2, 1, context, "1 GB/s");
  };
  const Simulation one = at(4095), two = at(8191);
  const double read =
      static_cast<double>((two.report.kv_cache_peak - one.report.kv_cache_peak).value);
  CHECK((two.report.step_time - one.report.step_time).value == Approx(read / 1e9).epsilon(1e-3));
}
