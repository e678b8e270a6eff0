#include <catch2/catch.hpp>

#include "tests/oracle/ideal.hpp"

// O27. Bytes that a rank sends in a step, in units of u = (N-1)/N 2 Psi (Psi fp16 parameters over N
// ranks): one reduce-scatter or all-gather of everything by a ring. An all-reduce is 2 u.
//   DP, and ZeRO 1 (reduce-scatter the gradients, gather the parameters): 2, with any number g of
//   accumulated micro-batches.
//   ZeRO 2: gathers once and reduces. On the last micro-batch alone 2, or g + 1 where parameters
//   are gathered again for every micro-batch, as FSDP does. After every micro-batch g + 1. ZeRO 3:
//   gathers for forward and again for backward: 3; 2 g + 1 reducing on the last micro-batch alone,
//   3 g after every one.
// Eager PyTorch's ZeRO 1 (ZeroRedundancyOptimizer on DDP) all-reduces, 2 u, and then every owner
// broadcasts its parameters: 2 Psi more, as a rank of a chain passes everything on.

using namespace rehearse;
using namespace rehearse::test;

namespace {

constexpr int kN = 4;

struct Volume {
  std::int64_t wire = 0;
  std::int64_t psi = 0;
  std::int64_t unit() const { return 2 * psi * (kN - 1) / kN; }
};

Volume run(const std::string& plan, int g, const std::string& runtime = "pytorch-eager") {
  Ideal ideal;
  ideal.model = tiny_model(3, 128);
  ideal.gpus = kN;
  ideal.training = micro_batches(g, kN);
  ideal.plan = plan;
  ideal.runtime = runtime;
  const Simulation s = simulate(ideal);
  return {wire_bytes_of(s, "dp"), s.report.parameters};
}

}  // namespace

TEST_CASE("o27: replicas all-reduce once a step, in buckets or at the end") {
  for (const char* sync : {"overlap", "end"})
    for (const int g : {1, 2, 4}) {
      const Volume v = run(fmt::format("gradient_sync: {}", sync), g);
      CHECK(v.wire == 2 * v.unit());
    }
}

TEST_CASE("o27: ZeRO 1 sends as much as plain replicas") {
  for (const char* runtime :
       {"megatron", "{name: pytorch-eager, behaviour: {whole_parameter_shards: false}}"})
    for (const int g : {1, 4}) {
      const Volume v = run("zero_stage: 1", g, runtime);
      CHECK(v.wire == 2 * v.unit());
    }
}

TEST_CASE("o27: eager PyTorch's ZeRO 1 all-reduces and broadcasts") {
  for (const int g : {1, 4}) {
    const Volume v = run("zero_stage: 1", g);
    CHECK(v.wire == 2 * v.unit() + 2 * v.psi);
  }
}

TEST_CASE("o27: ZeRO 2") {
  for (const int g : {1, 2, 4}) {
    const Volume last = run("zero_stage: 2", g);
    CHECK(last.wire == (g + 1) * last.unit());
    const Volume every = run("zero_stage: 2, gradient_reduction: every_micro_batch", g);
    CHECK(every.wire == (g + 1) * every.unit());
  }
}

TEST_CASE("o27: ZeRO 3") {
  for (const int g : {1, 2, 4}) {
    const Volume last = run("zero_stage: 3", g);
    CHECK(last.wire == (2 * g + 1) * last.unit());
    const Volume every = run("zero_stage: 3, gradient_reduction: every_micro_batch", g);
    CHECK(every.wire == 3 * g * every.unit());
  }
}

// What `gradient_reduction` is when it is left out.
TEST_CASE("o27: Megatron reduces after every micro-batch") {
  const Volume two = run("zero_stage: 2", 4, "megatron"),
               three = run("zero_stage: 3", 4, "megatron");
  CHECK(two.wire == 5 * two.unit());
  CHECK(three.wire == 12 * three.unit());
}
