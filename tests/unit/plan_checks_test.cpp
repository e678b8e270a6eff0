// What resolve_plan() refuses: the reason, the place, and what would be right.

#include <catch2/catch.hpp>

#include "tests/unit/strategy_fixture.hpp"

namespace rehearse {
namespace {

using Catch::Contains;

std::string refused(int gpus, const std::string& plan,
                    const std::string& training = "micro_batch_size: 1, global_batch_size: 8") {
  BuildText text;
  text.gpus = gpus;
  text.plan = plan;
  text.training = training;
  return complaint(text);
}

TEST_CASE("ranks that are not the cluster's GPUs are refused at data_parallel") {
  const std::string text = refused(8, "data_parallel: 3, tensor_parallel: 2");
  CHECK_THAT(text, Contains("s.yaml:5:8: error: data_parallel 3 x tensor_parallel 2"));
  CHECK_THAT(text, Contains("= 6 ranks, but the cluster has 8 GPUs"));
  CHECK_THAT(text, Contains("data_parallel: 4 would use them all"));
}

TEST_CASE("degrees that do not divide the cluster's GPUs are refused") {
  CHECK_THAT(refused(6, "tensor_parallel: 4"),
             Contains("= 4 does not divide the cluster's 6 GPUs"));
}

TEST_CASE("more ranks than GPUs are refused") {
  CHECK_THAT(refused(2, "tensor_parallel: 4"), Contains("does not divide the cluster's 2 GPUs"));
}

TEST_CASE("attention without a fused kernel for its type and groups is computed step by step") {
  BuildText text;
  const auto method = [&](const char* model, const char* precision) {
    text.model = model;
    text.training =
        std::string("micro_batch_size: 1, global_batch_size: 8, precision: ") + precision;
    return build(text).plan.attention;
  };
  CHECK(method(kSmallLlama, "bf16") == AttentionMethod::kFlash);
  CHECK(method(kSmallLlama, "fp32") == AttentionMethod::kMath);
  CHECK(method(kSmallLlama, "tf32") == AttentionMethod::kMath);
  CHECK(method(kSmallGpt2, "fp32") == AttentionMethod::kFlash);  // memory-efficient attention
  const auto reorders = [&](const char* model, const char* precision) {
    BuildText one;
    one.model = model;
    one.training += std::string(", precision: ") + precision;
    return build(one).plan.reorders_attention;
  };
  CHECK(reorders(kSmallGpt2, "fp32"));
  CHECK_FALSE(reorders(kSmallGpt2, "bf16"));
  CHECK_FALSE(reorders(kSmallLlama, "fp32"));
}

TEST_CASE("data_parallel is what is left of the GPUs") {
  BuildText text;
  text.gpus = 8;
  text.plan = "tensor_parallel: 2";
  CHECK(build(text).plan.data == 4);
}

TEST_CASE("heads that tensor_parallel does not divide are refused") {
  BuildText text;
  text.gpus = 3;
  text.plan = "tensor_parallel: 3";
  CHECK_THAT(complaint(text),
             Contains("s.yaml:5:8: error: 8 heads of model inline do not divide by "
                      "tensor_parallel 3"));
}

TEST_CASE("key-value heads that neither divide nor are divided are refused") {
  BuildText text;
  text.model =
      "{model_type: llama, num_hidden_layers: 2, hidden_size: 96, num_attention_heads: 12, "
      "num_key_value_heads: 3, intermediate_size: 192, vocab_size: 512}";
  text.gpus = 2;
  text.plan = "tensor_parallel: 2";
  CHECK_THAT(complaint(text), Contains("3 key-value heads"));
}

TEST_CASE("fewer key-value heads than tensor-parallel ranks are copied, not refused") {
  CHECK(refused(8, "tensor_parallel: 8") == "accepted");
}

TEST_CASE("a batch that does not divide into micro-batches is refused at global_batch_size") {
  const std::string text = refused(8, "", "micro_batch_size: 1, global_batch_size: 12");
  CHECK_THAT(text, Contains("s.yaml:4:55: error: global_batch_size 12 is not a multiple of"));
  CHECK_THAT(text, Contains("micro_batch_size 1 x data_parallel 8 = 8"));
}

TEST_CASE("interleaved micro-batches come in multiples of the pipeline") {
  const std::string plan = "pipeline_parallel: 4, schedule: interleaved-1f1b, virtual_stages: 2";
  const std::string text = refused(4, plan, "micro_batch_size: 1, global_batch_size: 6");
  CHECK_THAT(text, Contains("multiples of pipeline_parallel 4, but there are 6"));
  CHECK_THAT(text, Contains("change global_batch_size or micro_batch_size"));
  CHECK(refused(4, plan) == "accepted");
}

TEST_CASE("interleaved with one chunk is 1f1b, for any number of micro-batches") {
  CHECK(refused(4, "pipeline_parallel: 4, schedule: interleaved-1f1b",
                "micro_batch_size: 1, global_batch_size: 6") == "accepted");
}

TEST_CASE("more chunks than layers are refused") {
  CHECK_THAT(
      refused(4, "pipeline_parallel: 4, schedule: interleaved-1f1b, virtual_stages: 3"),
      Contains("12 model chunks (pipeline_parallel 4 x virtual_stages 3) are more than the 8 "
               "layers of model inline"));
}

TEST_CASE("stage_layers must add up to the model") {
  CHECK_THAT(refused(2, "pipeline_parallel: 2, stage_layers: [4, 3]"),
             Contains("stage_layers add up to 7, but model inline has 8 layers"));
  CHECK(refused(2, "pipeline_parallel: 2, stage_layers: [5, 3]") == "accepted");
}

TEST_CASE("a schedule of one chunk a rank takes no virtual_stages") {
  const std::string text = refused(2, "pipeline_parallel: 2, schedule: gpipe, virtual_stages: 2");
  CHECK_THAT(text, Contains("schedule gpipe has 1 chunk a rank, not 2"));
  CHECK_THAT(text, Contains("interleaved-1f1b"));
}

TEST_CASE("1f1b with virtual_stages is interleaved, and zbv has two chunks") {
  BuildText text;
  text.gpus = 2;
  text.plan = "pipeline_parallel: 2, virtual_stages: 2";
  CHECK(std::string(build(text).plan.schedule->name) == "interleaved-1f1b");
  text.plan = "pipeline_parallel: 2, schedule: zbv";
  CHECK(build(text).plan.chunks == 2);
}

TEST_CASE("virtual_stages without a pipeline are refused") {
  CHECK_THAT(refused(1, "schedule: zbv, virtual_stages: 2"),
             Contains("virtual_stages needs pipeline_parallel of at least 2"));
}

TEST_CASE("gradient_sync end is refused under ZeRO 2 and 3") {
  CHECK_THAT(refused(8, "zero_stage: 3, gradient_sync: end"),
             Contains("zero_stage 3 reduces during backward"));
  CHECK(refused(8, "zero_stage: 0, gradient_sync: end") == "accepted");
}

TEST_CASE("schedules that split backward are refused under ZeRO 2 and 3") {
  for (const char* schedule : {"zbv", "interleaved-zero-bubble"}) {
    const std::string plan = std::string("pipeline_parallel: 2, schedule: ") + schedule;
    const std::string training = "micro_batch_size: 1, global_batch_size: 8";
    CHECK_THAT(refused(4, plan + ", zero_stage: 2", training), Contains("splits backward"));
    CHECK(refused(4, plan + ", zero_stage: 1", training) == "accepted");
  }
}

TEST_CASE("a sequence that tensor_parallel does not divide is refused under sequence_parallel") {
  BuildText text;
  text.model =
      "{model_type: llama, num_hidden_layers: 2, hidden_size: 96, num_attention_heads: 12, "
      "intermediate_size: 192, vocab_size: 512}";
  text.gpus = 3;
  text.plan = "tensor_parallel: 3, sequence_parallel: true";
  CHECK_THAT(complaint(text), Contains("sequence_length 128 does not divide by tensor_parallel 3"));
}

TEST_CASE("everything that does not fit is said at once") {
  const std::string text =
      refused(8, "data_parallel: 3, tensor_parallel: 3, zero_stage: 2, gradient_sync: end",
              "micro_batch_size: 1, global_batch_size: 7");
  for (const char* part :
       {"but the cluster has 8 GPUs", "8 heads", "is not a multiple of", "reduces during backward"})
    CHECK_THAT(text, Contains(part));
}

TEST_CASE("fsdp-mixed without FSDP is autocast over fp32 parameters") {
  BuildText text;
  text.gpus = 2;
  text.training += ", precision: fsdp-mixed";
  CHECK(build(text).plan.training.precision.autocast);
  text.plan = "zero_stage: 3";
  CHECK_FALSE(build(text).plan.training.precision.autocast);
}

}  // namespace
}  // namespace rehearse
