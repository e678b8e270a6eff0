#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O33 and O34 of the whole simulator. On a GPU whose memory is infinitely fast a step is its matrix
// products, so step time times peak is the step's FLOPs:
//   72 B s l h^2 (1 + s/(6h) + V/(12 l h))                        without recomputation
//   96 B s l h^2 (1 + s/(6h) + V/(16 l h))                        every layer forward twice
//   + 4 B s^2 h l                                                 scores and context twice
// and the report's MFU is (6 N + 12 l h s) tokens / (T F), its HFU with what was recomputed.
// With dropout, whose mask is the last thing that backward needs of a layer, recomputation runs the
// whole layer. Without, PyTorch stops before the last product, whose result nobody needs again:
// 8 B s h^2 a layer fewer. Megatron runs the whole layer all the same.

using namespace rehearse;
using namespace rehearse::test;

namespace {

constexpr double kL = 4, kH = 512, kV = 1024, kS = 256, kB = 3;

Simulation run(const char* recompute, double dropout = 0.1, int gpus = 1,
               const char* runtime = "pytorch-eager") {
  Ideal ideal;
  ideal.model = fmt::format(
      "{{model_type: gpt2, n_layer: {}, n_embd: {}, n_head: 8, n_positions: {}, vocab_size: {}}}",
      kL, kH, kS, kV);
  ideal.gpus = gpus;
  ideal.training = fmt::format(
      "sequence_length: {}, micro_batch_size: 1, global_batch_size: {}, dropout: {}, recompute: {}",
      kS, kB * gpus, dropout, recompute);
  ideal.runtime = runtime;
  return simulate(ideal);
}

double flops(const Simulation& s) { return s.report.step_time.value * kIdealPeak; }

const double kPlain = 72 * kB * kS * kL * kH * kH * (1 + kS / (6 * kH) + kV / (12 * kL * kH));
const double kFull = 96 * kB * kS * kL * kH * kH * (1 + kS / (6 * kH) + kV / (16 * kL * kH));
const double kSelective = kPlain + 4 * kB * kS * kS * kH * kL;

// Half a picosecond a product, of at least 8 us each.
constexpr double kRounding = 1e-7;

}  // namespace

TEST_CASE("o33: a simulated step takes its FLOPs over the peak") {
  CHECK(flops(run("none")) == Approx(kPlain).epsilon(kRounding));
  CHECK(flops(run("selective")) == Approx(kSelective).epsilon(kRounding));
  CHECK(flops(run("full")) == Approx(kFull).epsilon(kRounding));
}

TEST_CASE("o33: recomputation stops before a product whose result nobody needs") {
  CHECK(flops(run("full", 0)) == Approx(kFull - 8 * kB * kS * kH * kH * kL).epsilon(kRounding));
  CHECK(flops(run("full", 0, 1, "megatron")) == Approx(kFull).epsilon(kRounding));
}

TEST_CASE("o34: the MFU and HFU of a simulated step") {
  for (const int gpus : {1, 4}) {
    const Simulation none = run("none", 0.1, gpus), full = run("full", 0.1, gpus),
                     selective = run("selective", 0.1, gpus);
    const double tokens = kB * kS;
    const double model =
        (6 * static_cast<double>(none.report.parameters) + 12 * kL * kH * kS) * tokens;
    CHECK(none.report.mfu == Approx(model / kPlain).epsilon(kRounding));
    CHECK(none.report.hfu == none.report.mfu);
    CHECK(full.report.mfu == Approx(model / kFull).epsilon(kRounding));
    CHECK(full.report.hfu == Approx((model + kFull - kPlain) / kFull).epsilon(kRounding));
    CHECK(selective.report.hfu ==
          Approx((model + kSelective - kPlain) / kSelective).epsilon(kRounding));
    CHECK(none.report.mfu_causal ==
          Approx((model - 6 * kL * kH * kS * tokens) / kPlain).epsilon(kRounding));
  }
}

// 6 N also counts what is no product (biases, norms, positions), and the logits' products are not
// run again; without logits, and with those 13 h a layer and s h of positions left out of N,
// MFU is three quarters of HFU.
TEST_CASE("o34: full recomputation makes MFU three quarters of HFU, but for the logits") {
  const RunReport r = run("full").report;
  const double tokens = kB * kS;
  const double never_multiplied = 6 * (kL * 13 * kH + 2 * kH + kS * kH) * tokens;
  const double logits = 6 * kH * kV * tokens;
  const double peak_flops = r.step_time.value * kIdealPeak;
  const double useful = r.mfu * peak_flops - never_multiplied - logits;
  const double done = r.hfu * peak_flops - never_multiplied - logits;
  CHECK(useful / done == Approx(0.75).epsilon(kRounding));
}
