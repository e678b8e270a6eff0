// What data-parallel strategies communicate: which collectives, how many, of what size, and when.

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <string>

#include "tests/unit/strategy_fixture.hpp"

namespace rehearse {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

// Large enough to have several buckets: 8 layers of 7.3 M parameters, 16 M each in embedding and
// head.
constexpr const char* kWide =
    "{model_type: llama, num_hidden_layers: 8, hidden_size: 768, num_attention_heads: 8, "
    "intermediate_size: 2048, vocab_size: 20000, tie_word_embeddings: false}";

BuildText replicas(const std::string& plan, const char* model = kWide, int micro_batches = 2) {
  BuildText text;
  text.model = model;
  text.gpus = 4;
  text.plan = plan;
  text.training = "micro_batch_size: 1, global_batch_size: " + std::to_string(4 * micro_batches);
  return text;
}

std::int64_t largest_parameter(const Model& m) { return m.vocabulary * m.hidden; }

TEST_CASE("DDP's buckets hold every gradient once") {
  for (const char* model : {kWide, kSmallGpt2, kSmallLlama})
    for (const char* size : {"1 MiB", "25 MiB", "10 GiB"}) {
      const Built b = build(replicas(std::string("bucket_size: ") + size, model));
      INFO(model << " " << size);
      CHECK(total_bytes(collectives(b.rank(), CollectiveOp::kAllReduce)).value ==
            2 * parameter_count(b.model));
    }
}

// A bucket takes parameters until it has its size: the first 1 MiB, the others 25 MiB, so it is at
// least as large (but for the last) and less than one parameter larger.
TEST_CASE("DDP's first bucket is of 1 MiB and the others of 25 MiB") {
  const Built b = build(replicas(""));
  const auto buckets = collectives(b.rank(), CollectiveOp::kAllReduce);
  REQUIRE(buckets.size() > 4);
  const std::int64_t most = 2 * largest_parameter(b.model);
  CHECK(buckets.front().work.bytes.value >= kMiB);
  CHECK(buckets.front().work.bytes.value < kMiB + most);
  for (std::size_t i = 1; i < buckets.size(); ++i) {
    CHECK(buckets[i].work.bytes.value < 25 * kMiB + most);
    if (i + 1 < buckets.size()) CHECK(buckets[i].work.bytes.value >= 25 * kMiB);
  }
}

// FSDP2 reshards the root when the model returns its logits; the loss is made after that.
TEST_CASE("ZeRO 3 gives back the head's parameters before the loss") {
  const Built b = build(replicas("zero_stage: 3", kSmallLlama, 1));
  bool given_back = false, loss = false;  // since the segment before
  for (const Step& step : b.rank().steps.all()) {
    if (const auto* m = std::get_if<Memory>(&step.work))
      given_back |= !m->change.allocate && m->change.scope == MemoryScope::kRank;
    const auto* run = std::get_if<RunSegment>(&step.work);
    if (!run || loss) continue;
    for (const Instr& i : b.program.segments[run->segment].instrs)
      if (const auto* k = std::get_if<Kernel>(&i.what))
        loss |= b.program.names[k->name].starts_with("cunn_SoftMaxForward");
    if (loss) CHECK(given_back);
    given_back = false;
  }
  CHECK(loss);
}

TEST_CASE("bucket_size sets the buckets") {
  const auto count = [](const char* size) {
    const Built b = build(replicas(std::string("bucket_size: ") + size));
    return collectives(b.rank(), CollectiveOp::kAllReduce).size();
  };
  CHECK(count("5 MiB") > count("25 MiB"));
  CHECK(count("25 MiB") > count("100 MiB"));
  CHECK(count("10 GiB") == 1);  // a size that is stated is the first's too
}

TEST_CASE("DDP reduces in the last micro-batch alone, while backward goes on") {
  const Built b = build(replicas("", kWide, 3));
  int backward_left = 0, reductions = 0;
  const std::vector<Step> steps = b.rank().steps.all();
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    if (std::holds_alternative<RunCollective>(step->work)) {
      CHECK(step->micro_batch == 2);
      if (reductions++ > 0) CHECK(backward_left > 0);
    }
    if (std::holds_alternative<RunSegment>(step->work)) ++backward_left;
  }
  CHECK(reductions > 4);
}

TEST_CASE("gradient_sync end reduces every parameter on its own after backward") {
  const Built b = build(replicas("gradient_sync: end", kSmallLlama));
  const auto list = collectives(b.rank(), CollectiveOp::kAllReduce);
  CHECK(list.size() == 8 * 6 + 3);  // two norms, qkv, proj, up, down; embedding, final norm, head
  CHECK(total_bytes(list).value == 2 * parameter_count(b.model));
  bool reduced = false;
  for (const Step& step : b.rank().steps) {
    if (std::holds_alternative<RunCollective>(step.work)) reduced = true;
    if (reduced) CHECK_FALSE(std::holds_alternative<RunSegment>(step.work));
  }
}

TEST_CASE("a tied weight is reduced once") {
  const Built b = build(replicas("gradient_sync: end", kSmallGpt2));
  CHECK(b.model.tied);
  CHECK(total_bytes(collectives(b.rank(), CollectiveOp::kAllReduce)).value ==
        2 * parameter_count(b.model));
}

TEST_CASE("PyTorch's ZeRO 1 all-reduces gradients and broadcasts every parameter") {
  const Built b = build(replicas("zero_stage: 1", kSmallLlama));
  CHECK(total_bytes(collectives(b.rank(), CollectiveOp::kAllReduce)).value ==
        2 * parameter_count(b.model));
  const auto shared = collectives(b.rank(), CollectiveOp::kBroadcast);
  CHECK(shared.size() == 8 * 6 + 3);
  CHECK(total_bytes(shared).value == 2 * parameter_count(b.model));
}

// Units: the blocks, and the root with embedding and head. ZeRO 3 gathers each in forward and in
// backward of every micro-batch, ZeRO 2 once a micro-batch.
TEST_CASE("FSDP gathers every unit before it is used") {
  const Built three = build(replicas("zero_stage: 3", kSmallLlama, 3));
  CHECK(collectives(three.rank(), CollectiveOp::kAllGather).size() == 2 * 3 * 9);
  const Built two = build(replicas("zero_stage: 2", kSmallLlama, 3));
  CHECK(collectives(two.rank(), CollectiveOp::kAllGather).size() == 3 * 9);
  for (const Built* b : {&three, &two})
    for (const RunCollective& c : collectives(b->rank(), CollectiveOp::kAllGather))
      CHECK(c.work.group == GroupKind::kData);
}

TEST_CASE("FSDP gathers the whole model in the type that it computes with") {
  for (const char* precision : {"bf16", "fsdp-mixed"}) {
    BuildText text = replicas("zero_stage: 2", kSmallLlama, 1);
    text.training += std::string(", precision: ") + precision;
    const Built b = build(text);
    // Shares are rounded up to the ranks.
    const auto gathered = total_bytes(collectives(b.rank(), CollectiveOp::kAllGather)).value;
    CHECK(gathered >= 2 * parameter_count(b.model));
    CHECK(gathered <= 2 * (parameter_count(b.model) + 9 * 3));
  }
}

TEST_CASE("FSDP reduces every unit in the last micro-batch") {
  const Built b = build(replicas("zero_stage: 3", kSmallLlama, 3));
  CHECK(collectives(b.rank(), CollectiveOp::kReduceScatter).size() == 9);
  for (const Step& step : b.rank().steps)
    if (const auto* c = std::get_if<RunCollective>(&step.work))
      if (c->work.op == CollectiveOp::kReduceScatter) CHECK(step.micro_batch == 2);
}

TEST_CASE("FSDP that reduces every micro-batch does so for all") {
  const Built b =
      build(replicas("zero_stage: 3, gradient_reduction: every_micro_batch", kSmallLlama, 3));
  CHECK(collectives(b.rank(), CollectiveOp::kReduceScatter).size() == 3 * 9);
}

TEST_CASE("fsdp-mixed reduces gradients in fp32") {
  BuildText text = replicas("zero_stage: 3", kSmallLlama, 1);
  text.training += ", precision: fsdp-mixed";
  const Built b = build(text);
  const auto reduced = total_bytes(collectives(b.rank(), CollectiveOp::kReduceScatter)).value;
  CHECK(reduced >= 4 * parameter_count(b.model));
  CHECK(reduced <= 4 * (parameter_count(b.model) + 9 * 3));
}

TEST_CASE("one replica communicates nothing, whatever the stage") {
  for (const char* plan :
       {"zero_stage: 0", "zero_stage: 1", "zero_stage: 3", "gradient_sync: end"}) {
    BuildText text;
    text.plan = plan;
    CHECK(collectives(build(text).rank()).empty());
  }
}

// Micro-batches: the first one's gradients become fp32, the others' are added to them, the last
// one's too.
TEST_CASE("FSDP adds gradients of bf16 into fp32 ones that it will reduce") {
  const auto classes = [](const char* precision) {
    BuildText text = replicas("zero_stage: 3", kSmallLlama, 3);
    text.training += std::string(", precision: ") + precision;
    const Built b = build(text);
    std::map<std::string, int> out;
    for (const Step& step : b.rank().steps)
      if (const auto* run = std::get_if<RunKernel>(&step.work))
        if (const auto* w = std::get_if<MemoryWork>(&run->kernel.work)) ++out[w->kernel_class];
    return out;
  };
  auto mixed = classes("fsdp-mixed");
  CHECK(mixed["cast"] > 0);
  CHECK(mixed["mixed_add"] == 2 * mixed["cast"]);
  CHECK(classes("bf16")["mixed_add"] == 0);
}

// Elements of what the update takes longer for.
std::int64_t unused_elements(const Built& b) {
  std::int64_t sum = 0;
  for (const Step& step : b.rank().steps)
    if (const auto* k = std::get_if<RunKernel>(&step.work))
      if (const auto* m = std::get_if<MemoryWork>(&k->kernel.work))
        if (m->kernel_class == "adamw_unused") sum += m->elements;
  return sum;
}

TEST_CASE("only steps that repeat one batch leave rows of the embedding without a gradient") {
  BuildText text = replicas("zero_stage: 0");
  CHECK(unused_elements(build(text)) == 0);
  text.training += ", batches: repeated";
  const Built b = build(text);
  const std::int64_t tokens = b.plan.training.global_batch_size * b.plan.training.sequence_length;
  const double without = std::exp(-static_cast<double>(tokens) / 20000);
  CHECK(unused_elements(b) == Approx(without * static_cast<double>(largest_parameter(b.model))));
  // Where replicas share the update, each has its part.
  BuildText sharded = text;
  sharded.plan = "zero_stage: 3";
  CHECK(unused_elements(build(sharded)) ==
        Approx(without * static_cast<double>(largest_parameter(b.model)) / 4).epsilon(1e-4));
}

}  // namespace
}  // namespace rehearse
