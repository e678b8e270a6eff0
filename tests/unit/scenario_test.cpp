#include "sim/config/scenario.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/unit/temp_folder.hpp"

namespace rehearse {
namespace {

// A catalog with one of each kind, and scenarios over it.
class Fixture {
 public:
  Fixture() {
    catalog_.write("models/tiny.yaml", "model_type: llama\nhidden_size: 8\n");
    catalog_.write("clusters/one.yaml", "gpu: small\nnodes: 1\n");
    catalog_.write("runtimes/pytorch-eager.yaml", "host_cost: 5 us\n");
    catalog_.write("runtimes/megatron.yaml", "host_cost: 3 us\n");
  }

  static std::string head() {
    return "model: tiny\ncluster: one\n"
           "training: {sequence_length: 128, micro_batch_size: 2, global_batch_size: 8}\n";
  }
  static std::vector<Scenario> read(const std::string& text,
                                    const std::vector<std::string>& overrides = {}) {
    return read_scenarios(parse_text(text, "s.yaml"), "s", overrides);
  }
  // One scenario: the head and more lines.
  static Scenario one(const std::string& more = "", const std::vector<std::string>& set = {}) {
    return read(head() + more, set).at(0);
  }
  static std::string complaint(const std::string& text, const std::vector<std::string>& set = {}) {
    try {
      read(text, set);
    } catch (const UserError& e) {
      return e.what();
    }
    return "accepted";
  }
  static std::string plan_complaint(const std::string& plan) {
    return complaint(head() + "plan: {" + plan + "}\n");
  }
  static std::string training_complaint(const std::string& more) {
    return complaint(
        "model: tiny\ncluster: one\n"
        "training: {sequence_length: 128, micro_batch_size: 2, global_batch_size: 8, " +
        more + "}\n");
  }

 protected:
  TempCatalog catalog_;
};

Precision precision_of(const std::string& text) {
  return Fixture::one("", {"training.precision=" + text}).training.precision;
}

}  // namespace

TEST_CASE_METHOD(Fixture, "a scenario fills in every default", "[scenario]") {
  const Scenario s = one();
  CHECK(s.name == "s");
  CHECK(s.plan_name.empty());
  CHECK(s.runtime_name == "pytorch-eager");
  CHECK(s.model.find("name")->as_scalar().text == "tiny");
  CHECK(s.cluster.find("gpu")->as_scalar().text == "small");
  CHECK(s.runtime.find("host_cost")->as_scalar().text == "5 us");
  CHECK(s.training.sequence_length == 128);
  CHECK(s.training.precision.name == "bf16");
  CHECK(s.training.recompute == Recompute::kNone);
  CHECK(s.training.optimizer == OptimizerKind::kAdamW);
  CHECK(s.training.attention == AttentionKind::kFlash);
  CHECK(s.training.dropout == 0.0);
  CHECK(s.training.causal);
  CHECK(s.plan.data_parallel == 0);
  CHECK(s.plan.schedule == "1f1b");
  CHECK(s.plan.stage_layers.empty());
  CHECK(s.plan.zero_stage == 0);
  CHECK(s.plan.bucket_size == Bytes(26'214'400));
  CHECK(s.plan.rank_order == std::vector<std::string>{"tp", "cp", "ep", "dp", "pp"});
}

TEST_CASE_METHOD(Fixture, "every field is read", "[scenario]") {
  const Scenario s = read(
      "name: mine\ndescription: all of it\ntask: training\nmodel: tiny\ncluster: one\n"
      "training: {sequence_length: 1e3, micro_batch_size: 1, global_batch_size: 4,\n"
      "  precision: mixed, recompute: selective, optimizer: sgd, attention: unfused,\n"
      "  dropout: 0.1, causal: false}\n"
      "plan: {data_parallel: 2, tensor_parallel: 4, sequence_parallel: true,\n"
      "  vocabulary_parallel: true, pipeline_parallel: 2, schedule: interleaved-1f1b,\n"
      "  virtual_stages: 2, stage_layers: [1, 2, 2, 0], context_parallel: 2,\n"
      "  context_parallel_method: ulysses, expert_parallel: 1, zero_stage: 2,\n"
      "  gradient_sync: end, gradient_reduction: every_micro_batch, bucket_size: 1 MB,\n"
      "  rank_order: pp-dp-cp-tp}\nruntime: pytorch-eager\n")[0];
  CHECK(s.name == "mine");
  CHECK(s.training.sequence_length == 1000);
  CHECK(s.training.precision.master_weights);
  CHECK(s.training.recompute == Recompute::kSelective);
  CHECK(s.training.optimizer == OptimizerKind::kSgd);
  CHECK(s.training.attention == AttentionKind::kUnfused);
  CHECK(s.training.dropout == 0.1);
  CHECK_FALSE(s.training.causal);
  CHECK(s.plan.data_parallel == 2);
  CHECK(s.plan.tensor_parallel == 4);
  CHECK(s.plan.sequence_parallel);
  CHECK(s.plan.vocabulary_parallel);
  CHECK(s.plan.pipeline_parallel == 2);
  CHECK(s.plan.schedule == "interleaved-1f1b");
  CHECK(s.plan.virtual_stages == 2);
  CHECK(s.plan.stage_layers == std::vector<int>{1, 2, 2, 0});
  CHECK(s.plan.context_parallel == 2);
  CHECK(s.plan.context_parallel_method == ContextParallelMethod::kUlysses);
  CHECK(s.plan.zero_stage == 2);
  CHECK(s.plan.gradient_sync == GradientSync::kEnd);
  CHECK(s.plan.gradient_reduction == GradientReduction::kEveryMicroBatch);
  CHECK(s.plan.bucket_size == Bytes(1'000'000));
  CHECK(s.plan.rank_order == std::vector<std::string>{"pp", "dp", "cp", "tp"});
}

TEST_CASE_METHOD(Fixture, "defaults follow the runtime", "[scenario]") {
  const Scenario torch = one();
  CHECK_FALSE(torch.plan.vocabulary_parallel);
  CHECK(torch.plan.gradient_reduction == GradientReduction::kLastMicroBatch);
  const Scenario megatron = one("runtime: megatron\n");
  CHECK(megatron.plan.vocabulary_parallel);
  CHECK(megatron.plan.gradient_reduction == GradientReduction::kEveryMicroBatch);
  const Scenario stated = one("runtime: megatron\nplan: {vocabulary_parallel: false}\n");
  CHECK_FALSE(stated.plan.vocabulary_parallel);
  const Scenario changed = one("runtime: {name: megatron, host_cost: 1 us}\n");
  CHECK(changed.runtime_name == "megatron");
  CHECK(changed.plan.vocabulary_parallel);
}

TEST_CASE_METHOD(Fixture, "precision presets are those of the table", "[scenario]") {
  const Precision fp32 = precision_of("fp32");
  CHECK(fp32.parameters == DType::kFp32);
  CHECK(fp32.matmul == DType::kFp32);
  const Precision tf32 = precision_of("tf32");
  CHECK(tf32.compute == DType::kFp32);
  CHECK(tf32.matmul == DType::kTf32);
  const Precision amp = precision_of("amp");
  CHECK(amp.parameters == DType::kFp32);
  CHECK(amp.compute == DType::kBf16);
  CHECK(amp.autocast);
  CHECK_FALSE(amp.sharded_fp32);
  const Precision fsdp = precision_of("fsdp-mixed");
  CHECK(fsdp.sharded_fp32);
  CHECK_FALSE(fsdp.autocast);
  CHECK(fsdp.reduce == DType::kFp32);
  const Precision fp16 = precision_of("mixed-fp16");
  CHECK(fp16.parameters == DType::kFp16);
  CHECK(fp16.gradients == DType::kFp32);
  CHECK(fp16.master_weights);
  const Precision fp8 = precision_of("fp8");
  CHECK(fp8.compute == DType::kBf16);
  CHECK(fp8.matmul == DType::kFp8);
  CHECK(fp8.master_weights);
}

TEST_CASE_METHOD(Fixture, "precision fields default to those of bf16", "[scenario]") {
  const Precision p = precision_of("{reduce: fp32, master_weights: fp32}");
  CHECK(p.name == "custom");
  CHECK(p.parameters == DType::kBf16);
  CHECK(p.gradients == DType::kBf16);
  CHECK(p.reduce == DType::kFp32);
  CHECK(p.master_weights);
  CHECK_FALSE(p.autocast);
  CHECK_FALSE(precision_of("{master_weights: none}").master_weights);
  CHECK(precision_of("{master_weights: true}").master_weights);
  CHECK(precision_of("{parameters: fp32}").autocast);
  CHECK(precision_of("{compute: fp8}").matmul == DType::kFp8);
  CHECK_THAT(training_complaint("precision: {parameters: tf32}"),
             Catch::Contains("training.precision.parameters: unknown value 'tf32'"));
  CHECK_THAT(training_complaint("precision: {grads: fp32}"),
             Catch::Contains("training.precision: unknown key 'grads'"));
  CHECK_THAT(training_complaint("precision: bf17"), Catch::Contains("did you mean 'bf16'?"));
}

TEST_CASE_METHOD(Fixture, "each plan lays itself over the common one", "[scenario]") {
  const std::vector<Scenario> all =
      read(head() +
           "plan: {zero_stage: 1, bucket_size: 1 MB}\n"
           "plans:\n  ddp: {zero_stage: 0}\n  same:\n"
           "  meg: {tensor_parallel: 4, runtime: megatron, training: {micro_batch_size: 4}}\n");
  REQUIRE(all.size() == 3);
  CHECK(all[0].name == "s/ddp");
  CHECK(all[0].plan_name == "ddp");
  CHECK(all[0].plan.zero_stage == 0);
  CHECK(all[0].plan.bucket_size == Bytes(1'000'000));
  CHECK(all[1].plan.zero_stage == 1);
  CHECK(all[2].plan.tensor_parallel == 4);
  CHECK(all[2].runtime_name == "megatron");
  CHECK(all[2].plan.vocabulary_parallel);
  CHECK(all[2].training.micro_batch_size == 4);
  CHECK(all[2].training.global_batch_size == 8);
  CHECK(all[0].training.micro_batch_size == 2);
}

TEST_CASE_METHOD(Fixture, "plans that are no mappings are refused", "[scenario]") {
  CHECK_THAT(complaint(head() + "plans: {}\n"), Catch::Contains("s.yaml:4:1: error: plans:"));
  CHECK_THAT(complaint(head() + "plans: {a: 3}\n"), Catch::Contains("plans.a: expected a mapping"));
}

TEST_CASE_METHOD(Fixture, "all mistakes of a scenario are reported, each once", "[scenario]") {
  CHECK(complaint("model: tinny\ncluster: one\n"
                  "training: {sequence_length: 128, micro_batch_size: 0, seqence: 1}\n"
                  "plan: {zero_stage: 4}\n"
                  "plans: {a: {tensor_paralel: 2}, b: {}}\nfoo: 1\n") ==
        "s.yaml:1:8: error: unknown model 'tinny' (did you mean 'tiny'?)\n"
        "s.yaml:3:52: error: training.micro_batch_size: expected an integer of at least 1, "
        "got '0'\n"
        "s.yaml:3:1: error: training: missing key 'global_batch_size'\n"
        "s.yaml:4:20: error: plan.zero_stage: expected 0, 1, 2 or 3, got '4'\n"
        "s.yaml:3:55: error: training: unknown key 'seqence'\n"
        "s.yaml:5:13: error: plan: unknown key 'tensor_paralel' "
        "(did you mean 'tensor_parallel'?)\n"
        "s.yaml:6:1: error: unknown key 'foo'");
}

TEST_CASE_METHOD(Fixture, "what is required is missed", "[scenario]") {
  CHECK(complaint("name: x\n") ==
        "s.yaml:1:1: error: missing key 'model'\n"
        "s.yaml:1:1: error: missing key 'cluster'\n"
        "s.yaml:1:1: error: missing key 'training'");
  CHECK_THAT(complaint("[1, 2]"), Catch::Contains("expected a scenario"));
  CHECK_THAT(complaint("just text"), Catch::Contains("expected a scenario"));
}

TEST_CASE_METHOD(Fixture, "a key in the wrong section is sent to the right one", "[scenario]") {
  CHECK_THAT(complaint(head() + "tensor_parallel: 2\n"),
             Catch::Contains("did you mean 'plan.tensor_parallel'?"));
  CHECK_THAT(plan_complaint("recompute: full"),
             Catch::Contains("plan: unknown key 'recompute' (did you mean 'training.recompute'?)"));
  CHECK_THAT(training_complaint("zero_stage: 3"),
             Catch::Contains("did you mean 'plan.zero_stage'?"));
}

TEST_CASE_METHOD(Fixture, "micro-batches must fill the global batch", "[scenario]") {
  CHECK(
      complaint("model: tiny\ncluster: one\n"
                "training: {sequence_length: 128, micro_batch_size: 3, global_batch_size: 8}\n") ==
      "s.yaml:3:74: error: training.global_batch_size: 8 sequences do not divide into "
      "micro-batches of 3");
}

TEST_CASE_METHOD(Fixture, "dropout is a probability below one", "[scenario]") {
  CHECK_THAT(training_complaint("dropout: 1"), Catch::Contains("at least 0 and below 1, got '1'"));
  CHECK_THAT(training_complaint("dropout: -0.1"), Catch::Contains("training.dropout"));
  CHECK(training_complaint("dropout: 0.5") == "accepted");
}

TEST_CASE_METHOD(Fixture, "stage_layers lists every chunk", "[scenario]") {
  CHECK_THAT(plan_complaint("pipeline_parallel: 2, virtual_stages: 2, stage_layers: [4, 4]"),
             Catch::Contains("it lists 2 chunks, but pipeline_parallel x virtual_stages is 4"));
  CHECK_THAT(plan_complaint("stage_layers: [-1]"), Catch::Contains("cannot hold -1 layers"));
  CHECK_THAT(plan_complaint("stage_layers: even"), Catch::Contains("expected 'auto' or a list"));
  CHECK(plan_complaint("stage_layers: auto") == "accepted");
}

TEST_CASE_METHOD(Fixture, "rank_order is a permutation", "[scenario]") {
  CHECK(plan_complaint("rank_order: dp-tp-pp-cp") == "accepted");
  for (const char* wrong : {"tp-dp", "tp-cp-ep-dp-pp-tp", "tp-cp-xx-dp-pp", "tp,cp,dp,pp", "''"}) {
    INFO(wrong);
    CHECK_THAT(plan_complaint(std::string("rank_order: \"") + wrong + "\""),
               Catch::Contains("plan.rank_order: expected tp, cp, dp and pp"));
  }
}

TEST_CASE_METHOD(Fixture, "degrees are counts", "[scenario]") {
  for (const char* key : {"data_parallel", "tensor_parallel", "pipeline_parallel",
                          "context_parallel", "virtual_stages", "expert_parallel"}) {
    INFO(key);
    CHECK_THAT(plan_complaint(std::string(key) + ": 0"), Catch::Contains("of at least 1"));
    CHECK_THAT(plan_complaint(std::string(key) + ": 1.5"), Catch::Contains("an integer"));
  }
  CHECK_THAT(plan_complaint("pipeline_parallel: 2147483648"), Catch::Contains("below 2^31"));
  CHECK_THAT(plan_complaint("pipeline_parallel: 2147483647, virtual_stages: 2147483647"),
             Catch::Contains("a pipeline of"));
  CHECK_THAT(plan_complaint("bucket_size: 0"), Catch::Contains("a size above zero"));
  CHECK(plan_complaint("sequence_parallel: true") == "accepted");
}

TEST_CASE_METHOD(Fixture, "sections that belong to another task are refused", "[scenario]") {
  CHECK_THAT(complaint(head() + "task: decode\n"), Catch::Contains("context_length"));
  CHECK_THAT(complaint(head() + "serving: {}\n"), Catch::Contains("belongs to task: serving"));
}

TEST_CASE_METHOD(Fixture, "an unknown schedule has the nearest as a hint", "[scenario]") {
  CHECK_THAT(plan_complaint("schedule: interleaved-1fib"),
             Catch::Contains("did you mean 'interleaved-1f1b'?"));
  CHECK(plan_complaint("schedule: zbv") == "accepted");
}

TEST_CASE_METHOD(Fixture, "option --set changes what the file says, for every plan", "[scenario]") {
  const std::vector<Scenario> all = read(head() + "plans: {a: {}, b: {zero_stage: 3}}\n",
                                         {"plan.zero_stage=1", "plan.bucket_size=2 MB"});
  CHECK(all[0].plan.zero_stage == 1);
  CHECK(all[1].plan.zero_stage == 1);
  CHECK(all[1].plan.bucket_size == Bytes(2'000'000));
  const Scenario s = one("", {"plan.stage_layers=[3, 1]", "plan.pipeline_parallel=2"});
  CHECK(s.plan.stage_layers == std::vector<int>{3, 1});
}

TEST_CASE_METHOD(Fixture, "option --set of one plan leaves the others", "[scenario]") {
  const std::string text = head() + "plans: {ddp: {}, fsdp: {zero_stage: 3}}\n";
  const std::vector<Scenario> all = read(text, {"plans.fsdp.zero_stage=2"});
  CHECK(all[0].plan.zero_stage == 0);
  CHECK(all[1].plan.zero_stage == 2);
  CHECK_THAT(complaint(text, {"plans.fsd.zero_stage=2"}),
             Catch::Contains("--set: error: unknown plan 'fsd' (did you mean 'fsdp'?)"));
}

TEST_CASE_METHOD(Fixture, "option --set reaches into what is named", "[scenario]") {
  const Scenario s = one("", {"model.hidden_size=16", "cluster.gpu.memory=1 GB"});
  CHECK(s.model.find("hidden_size")->as_scalar().text == "16");
  CHECK(s.model.find("model_type")->as_scalar().text == "llama");
  CHECK(s.cluster.find("gpu")->find("name")->as_scalar().text == "small");
  CHECK(s.cluster.find("gpu")->find("memory")->as_scalar().text == "1 GB");
  CHECK(one("", {"runtime=megatron"}).runtime_name == "megatron");
}

TEST_CASE_METHOD(Fixture, "option --set reports its own mistakes", "[scenario]") {
  CHECK(complaint(head(), {"plan.tensor_paralel=4"}) ==
        "--set: error: plan: unknown key 'tensor_paralel' (did you mean 'tensor_parallel'?)");
  CHECK(complaint(head(), {"plan.zero_stage=x"}) ==
        "--set: error: plan.zero_stage: expected an integer, got 'x'");
  CHECK_THAT(complaint(head(), {"plan"}), Catch::Contains("expected key=value, got 'plan'"));
  CHECK_THAT(complaint(head(), {"plan.zero_stage="}), Catch::Contains("is given no value"));
  CHECK_THAT(complaint(head(), {"plan.zero_stage=[1"}),
             Catch::Contains("--set: error: 'plan.zero"));
  CHECK_THAT(complaint(head(), {"training.sequence_length.x=1"}),
             Catch::Contains("'training.sequence_length' is a value, not a mapping"));
  CHECK_THAT(complaint(head(), {"tensor_parallel=4"}),
             Catch::Contains("did you mean 'plan.tensor_parallel'?"));
}

TEST_CASE_METHOD(Fixture, "later checks can point at the line of a key", "[scenario]") {
  const Scenario s = one("plan:\n  zero_stage: 3\n", {"plan.tensor_parallel=2"});
  CHECK(s.mark_of("plan.zero_stage").line == 5);
  CHECK(s.mark_of("plan.zero_stage").column == 3);
  CHECK(s.mark_of("plan.tensor_parallel").file == "--set");
  CHECK(s.mark_of("plan.pipeline_parallel").line == 1);
  CHECK(s.mark_of("training.global_batch_size").line == 3);
  CHECK(s.mark_of("cluster").line == 2);
}

TEST_CASE_METHOD(Fixture, "a scenario is loaded by path or by name", "[scenario]") {
  const std::string path = catalog_.write("scenarios/first.yaml", head());
  CHECK(load_scenarios(path)[0].name == "first");
  CHECK(load_scenarios("first")[0].training.global_batch_size == 8);
  CHECK_THROWS_WITH(load_scenarios("frist"),
                    "error: unknown scenario 'frist' (did you mean 'first'?)");
  CHECK_THROWS_WITH(load_scenarios("none.yaml"), "none.yaml: error: no such file");
}

TEST_CASE_METHOD(Fixture, "a runtime that does not exist is refused", "[scenario]") {
  CHECK_THAT(complaint(head() + "runtime: pytorch-eagre\n"),
             Catch::Contains("s.yaml:4:10: error: unknown runtime 'pytorch-eagre' "
                             "(did you mean 'pytorch-eager'?)"));
}

}  // namespace rehearse
