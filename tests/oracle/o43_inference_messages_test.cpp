#include <catch2/catch.hpp>

#include "tests/oracle/inference.hpp"

// O43. Tensor parallelism in inference adds the partial results of the two products that end a
// layer's halves: two all-reduces a layer, each of 2 L D bytes in prefill and 2 D a sequence in
// decode. A pipeline sends as much between two stages, and one batch passes its stages one after
// the other: its latency is that of one GPU.

using namespace rehearse;
using namespace rehearse::test;

TEST_CASE("o43: two all-reduces a layer of 2 L D bytes, and of 2 D in decode") {
  for (const int t : {2, 4}) {
    const Communicated prefill =
        communicated(infer("prefill", 4, t, 1, 3, 64, 0), "all_reduce", "tp");
    CHECK(prefill.count == 2 * kInferLayers);
    CHECK(prefill.payload == 2 * kInferLayers * 3 * 2 * 64 * kInferHidden);
    const Communicated decode =
        communicated(infer("decode", 4, t, 1, 3, 64, 64), "all_reduce", "tp");
    CHECK(decode.count == 2 * kInferLayers);
    CHECK(decode.payload == 2 * kInferLayers * 3 * 2 * kInferHidden);
  }
}

TEST_CASE("o43: a pipeline does not cut the latency of one batch") {
  for (const char* task : {"prefill", "decode"}) {
    const double one = infer(task, 4, 1, 1, 2, 64, 64).report.step_time.value;
    const double four = infer(task, 4, 1, 4, 2, 64, 64).report.step_time.value;
    CHECK(four == Approx(one).epsilon(1e-6));
  }
}
