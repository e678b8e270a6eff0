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

// Latent attention keeps the latent and the rotated part of the key, one for all heads: DeepSeek V2
// and V3 (512 + 64) columns of two bytes a layer, 60 and 61 layers; with keys and values of 128
// heads of 192 and 128 columns it would be 71 times as much.
TEST_CASE("o41: bytes of a token's latents in the cache") {
  const std::pair<const char*, std::int64_t> kModels[] = {{"deepseek-v2", 60 * 576 * 2},
                                                          {"deepseek-v3", 61 * 576 * 2}};
  for (const auto& [name, expected] : kModels) {
    const Model model = read_model(resolve("models", Value::scalar(name, Mark{})));
    CHECK(cache_bytes_per_token(model, DType::kBf16).value == expected);
  }
}

// Absorbing what latents are multiplied with uses the same weights.
TEST_CASE("o41: both forms of latent attention keep the same parameters") {
  const auto parameters = [](const std::string& form, int t) {
    const Simulation s = infer_latent("decode", form, t, 1, 1, 1, 7);
    return s.report.stages.at(0).at_peak[static_cast<std::size_t>(MemoryCategory::kParameters)];
  };
  for (const int t : {1, 2})
    CHECK(parameters(", latent_attention: absorbed", t) ==
          parameters(", latent_attention: unabsorbed", t));
}

// Every tensor-parallel rank has all of the latents; stages have their own layers'.
TEST_CASE("o41: pipeline parallelism divides latents, tensor parallelism does not") {
  for (const auto& [t, p] : {std::pair{1, 1}, std::pair{2, 1}, std::pair{1, 4}, std::pair{4, 1}}) {
    const Simulation s = infer_latent("decode", "", t, p, 3, 1, 63);
    CAPTURE(t, p);
    CHECK(s.report.kv_cache_peak.value ==
          kLatentLayers * (kLatentRank + kLatentRotary) * 2 * 3 * 64 / p);
  }
}
