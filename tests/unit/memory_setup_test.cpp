// What the allocator sees before the first step, and what of it stays.

#include <catch2/catch.hpp>

#include "tests/unit/strategy_fixture.hpp"

namespace rehearse {
namespace {

struct SetupSums {
  Bytes stays{0}, most{0};
};

SetupSums sums(const Setup& setup) {
  SetupSums out;
  std::vector<Bytes> held(setup.ids);
  for (const Setup::Change& c : setup.before_first) {
    if (c.allocate) held[c.id] = c.bytes;
    out.stays = c.allocate ? out.stays + c.bytes : out.stays - held[c.id];
    out.most = max(out.most, out.stays);
  }
  return out;
}

Bytes sum(const std::vector<Bytes>& list) {
  Bytes out(0);
  for (Bytes b : list) out += b;
  return out;
}

Built with(int gpus, const std::string& plan, const std::string& precision) {
  BuildText text;
  text.gpus = gpus;
  text.plan = plan;
  text.training = "micro_batch_size: 1, global_batch_size: 8, precision: " + precision;
  return build(text);
}

TEST_CASE("one GPU keeps its parameters and tokens; the update makes the states") {
  const Built b = with(1, "", "bf16");
  const Setup& s = b.rank().setup;
  CHECK(sums(s).stays == b.rank().parameters + b.rank().buffers - b.runtime.workspace);
  CHECK(sum(s.states) == b.rank().optimizer_states);
  CHECK(s.before_second.empty());
}

TEST_CASE("DDP makes its buckets twice: in the order of parameters, then of gradients") {
  const Built b = with(2, "data_parallel: 2", "bf16");
  const RankProgram& r = b.rank();
  CHECK(sums(r.setup).stays ==
        r.parameters + r.buffers - b.runtime.workspace + r.persistent_gradients);
  CHECK(sum(r.setup.before_second) == r.persistent_gradients);
}

TEST_CASE("FSDP builds the whole model before it keeps a share of it") {
  const Built b = with(2, "data_parallel: 2, zero_stage: 3", "fsdp-mixed");
  const RankProgram& r = b.rank();
  const SetupSums s = sums(r.setup);
  CHECK(s.stays == r.parameters + r.buffers - b.runtime.workspace);
  CHECK(s.most >= r.parameters + r.parameters);
  CHECK(sum(r.setup.states) == r.optimizer_states);
}

TEST_CASE("on the meta device nothing is built: FSDP makes shares alone") {
  BuildText text;
  text.gpus = 2;
  text.plan = "data_parallel: 2, zero_stage: 3";
  text.training = "micro_batch_size: 1, global_batch_size: 8, precision: fsdp-mixed";
  text.runtime = "{name: pytorch-eager, behaviour: {makes_shares: true}}";
  const Built b = build(text);
  const SetupSums s = sums(b.rank().setup);
  CHECK(s.most == s.stays);
  CHECK(s.stays == b.rank().parameters + b.rank().buffers - b.runtime.workspace);
}

TEST_CASE("FSDP gathers and reduces in memory of their own streams") {
  const Built b = with(2, "data_parallel: 2, zero_stage: 3", "fsdp-mixed");
  std::int64_t of_stream[kStreamKinds] = {};
  for (const Step& step : b.rank().steps)
    if (const auto* m = std::get_if<Memory>(&step.work); m && m->change.allocate)
      of_stream[static_cast<int>(m->change.pool)] += m->change.bytes.value;
  CHECK(of_stream[static_cast<int>(StreamKind::kCopy)] > 0);
  CHECK(of_stream[static_cast<int>(StreamKind::kData)] >= b.rank().parameters.value);  // rounded up
}

// 1,024 tokens, 32,768 words: logits of 128 MiB in fp32, activations of less than a workspace.
constexpr const char* kWideGpt2 =
    "{model_type: gpt2, n_layer: 2, n_embd: 64, n_head: 8, vocab_size: 32768, n_positions: 128}";

TEST_CASE("in a fresh process backward's workspace takes a buffer of the logits") {
  BuildText text;
  text.model = kWideGpt2;
  text.training = "micro_batch_size: 8, global_batch_size: 8, precision: bf16";
  const Built b = build(text);
  const Bytes workspace(b.runtime.workspace.value / 2);
  const RankMemory fresh = rank_memory(b.program, b.rank(), true, {workspace, Process::kFresh}),
                   used =
                       rank_memory(b.program, b.rank(), true, {workspace, Process::kTrainedBefore});
  CHECK(fresh.peak == used.peak);
  // One of its own is not needed; the buffer that it cut is, once more.
  const std::int64_t more = (fresh.reserved - used.reserved).value;
  CHECK(more == (Bytes(std::int64_t{128} << 20) - workspace).value);
}

// Up and down of GPT-2 XL have 20,480,000 bytes in bf16, in blocks of 20 MiB: 491,520 more, once
// for the parameter and each of its two moments, as max_memory_allocated counts them.
TEST_CASE("peaks hold what blocks have beyond what was asked of them") {
  BuildText text;
  text.model =
      "{model_type: gpt2, n_layer: 1, n_embd: 1600, n_head: 25, vocab_size: 512, n_positions: 128}";
  text.training = "micro_batch_size: 1, global_batch_size: 1, precision: bf16";
  const Built b = build(text);
  const RankMemory m = rank_memory(b.program, b.rank());
  CHECK(m.uncut.value >= 2 * 3 * 491520);
  CHECK(m.peak == rank_memory(b.program, b.rank(), false).peak + m.uncut);
  CHECK(rank_memory(b.program, b.rank(), true, {Bytes(0), Process::kFresh, true}).uncut.value <
        512 * 1000);
}

TEST_CASE(
    "in a fresh process both workspaces are segments of their own where nothing as large is free") {
  BuildText text;
  text.model = kSmallGpt2;
  text.training = "micro_batch_size: 1, global_batch_size: 8, precision: bf16";
  const Built b = build(text);
  const Bytes workspace(b.runtime.workspace.value / 2);
  CHECK(rank_memory(b.program, b.rank(), true, {workspace, Process::kFresh}).reserved ==
        rank_memory(b.program, b.rank(), true, {workspace, Process::kTrainedBefore}).reserved);
}

}  // namespace
}  // namespace rehearse
