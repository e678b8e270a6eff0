#include "tests/bench/plans.hpp"

#include "sim/base/error.hpp"
#include "strategies/plan.hpp"
#include "strategies/runtime.hpp"

namespace rehearse::bench {
namespace {

constexpr const char* kBase =
    "model: gpt3-175b\n"
    "cluster: {name: dgx-a100, nodes: 64}\n"
    "runtime: megatron\n"
    "training: {sequence_length: 2048, micro_batch_size: 1, global_batch_size: 1536, "
    "precision: mixed, recompute: full}\n"
    "plan: {tensor_parallel: 8, pipeline_parallel: 8}\n";

}  // namespace

std::vector<Scenario> plans_of_gpt3_on_512() {
  const Scenario base = read_scenarios(parse_text(kBase, "plans"), "plans").front();
  const Model model = read_model(base.model);
  const Cluster cluster = read_cluster(base.cluster);
  const Runtime runtime = read_runtime(base.runtime);
  std::vector<Scenario> out;
  for (const int tensor : {2, 4, 8})
    for (const int pipeline : {4, 8, 16, 32})
      for (const int chunks : {1, 2, 3, 6})
        for (const int micro_batch : {1, 2, 4})
          for (const Recompute recompute : {Recompute::kSelective, Recompute::kFull})
            for (const int zero : {0, 1}) {
              Scenario s = base;
              s.plan.tensor_parallel = tensor;
              s.plan.sequence_parallel = true;
              s.plan.pipeline_parallel = pipeline;
              s.plan.schedule = chunks > 1 ? "interleaved-1f1b" : "1f1b";
              s.plan.virtual_stages = chunks;
              s.plan.zero_stage = zero;
              s.training.micro_batch_size = micro_batch;
              s.training.recompute = recompute;
              try {
                resolve_plan(s, model, cluster, runtime);
                out.push_back(std::move(s));
              } catch (const UserError&) {
                continue;  // micro-batches that do not divide, more chunks than layers
              }
            }
  return out;
}

}  // namespace rehearse::bench
