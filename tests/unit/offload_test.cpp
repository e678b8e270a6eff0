// What lives in the host's memory: how a plan asks for it, and what the rank then keeps.

#include <catch2/catch.hpp>

#include "tests/unit/strategy_fixture.hpp"

namespace rehearse {
namespace {

using Catch::Contains;

BuildText text(const std::string& plan, int gpus = 1, const std::string& training = "") {
  return {kSmallLlama, gpus, "micro_batch_size: 1, global_batch_size: 8" + training, plan};
}

std::int64_t copied(const Built& b, GroupKind direction, const std::string& what = "") {
  std::int64_t sum = 0;
  for (const RunCollective& c : collectives(b.rank()))
    if (c.work.group == direction && (what.empty() || b.program.names[c.label] == what))
      sum += c.work.bytes.value;
  return sum;
}

TEST_CASE("what cannot be offloaded is refused with the reason") {
  CHECK_THAT(complaint(text("offload: [optimiser]")), Contains("did you mean 'optimizer'?"));
  CHECK_THAT(complaint(text("offload: [parameters]")), Contains("in shards"));
  CHECK_THAT(complaint(text("offload: [activations], pipeline_parallel: 2, schedule: zb-h1", 2)),
             Contains("splits backward"));
  CHECK_THAT(complaint(text("offload: [optimizer], pipeline_parallel: 2, schedule: dualpipe", 2)),
             Contains("two copies"));
  CHECK(complaint(text("offload: [optimizer, activations]")) == "accepted");
  CHECK(complaint(text("offload: [parameters], zero_stage: 3")) == "accepted");
}

TEST_CASE("gradients and parameters of an offloaded optimizer are those that train") {
  const Built all = build(text("offload: [optimizer]"));
  CHECK(copied(all, GroupKind::kToHost) == 2 * parameter_count(all.model));
  const Built tuned = build(text("offload: [optimizer]", 1, ", lora: {rank: 4}"));
  CHECK(copied(tuned, GroupKind::kToHost) == copied(tuned, GroupKind::kFromHost));
  CHECK(copied(tuned, GroupKind::kToHost) == 2 * 8 * 4 * ((64 + 128) + (64 + 64)));
}

TEST_CASE("an offloaded optimizer leaves its states and most gradients to the host") {
  const Built plain = build(text("")), b = build(text("offload: [optimizer]"));
  CHECK(plain.rank().optimizer_states.value == 4 * parameter_count(b.model));
  CHECK(b.rank().optimizer_states.value == 0);
  CHECK(rank_memory(b.program, b.rank()).peak < rank_memory(plain.program, plain.rank()).peak);
}

TEST_CASE("ZeRO 1's owners carry what they own") {
  const Built b = build(text("offload: [optimizer], zero_stage: 1", 4));
  CHECK(copied(b, GroupKind::kToHost) >= 2 * parameter_count(b.model) / 4);
  CHECK(copied(b, GroupKind::kToHost) < parameter_count(b.model));
}

TEST_CASE("every layer's activations leave but the last one's") {
  const Built b = build(text("offload: [activations]"));
  int out = 0;
  for (const RunCollective& c : collectives(b.rank())) out += c.work.group == GroupKind::kToHost;
  CHECK(out == 7 * 8);  // layers x micro-batches
  CHECK(copied(b, GroupKind::kToHost) == copied(b, GroupKind::kFromHost));
}

TEST_CASE("under full recomputation layers' inputs are what is offloaded") {
  const Built b = build(text("offload: [activations]", 1, ", recompute: full"));
  CHECK(copied(b, GroupKind::kToHost) == std::int64_t{7 * 8} * 128 * 64 * 2);
}

}  // namespace
}  // namespace rehearse
