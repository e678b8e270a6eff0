#include <catch2/catch.hpp>

#include "models/model.hpp"
#include "sim/config/catalog.hpp"
#include "strategies/inference/inference.hpp"
#include "tests/oracle/inference.hpp"

// O41. A token's keys and values take 2 l n_kv d_h bytes twice (two bytes each): Llama 2 7 B with
// multi-head attention 524,288, Llama 3 8 B with 8 key-value heads 131,072, Llama 2 70 B 327,680.

using namespace rehearse;
using namespace rehearse::test;

TEST_CASE("o41: bytes of a token in the cache") {
  const std::pair<const char*, std::int64_t> kModels[] = {
      {"llama2-7b", 524288}, {"llama3-8b", 131072}, {"llama2-70b", 327680}};
  for (const auto& [name, expected] : kModels) {
    const Model model = read_model(resolve("models", Value::scalar(name, Mark{})));
    CHECK(cache_bytes_per_token(model, DType::kBf16).value == expected);
  }
}

// Every GPU keeps its own layers' and heads' share, for all sequences, with room for one token
// more.
TEST_CASE("o41: tensor and pipeline parallelism divide the cache") {
  for (const auto& [t, p] : {std::pair{1, 1}, std::pair{2, 1}, std::pair{1, 4}, std::pair{2, 2}}) {
    const Simulation s = infer("decode", 4, t, p, 3, 1, 63);
    const std::int64_t whole = 2 * kInferLayers * kInferHidden * 2 * 3 * 64;
    CAPTURE(t, p);
    CHECK(s.report.kv_cache_peak.value == whole / (t * p));
  }
}
