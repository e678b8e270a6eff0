// A step of which periods are left out against the whole.

#include "strategies/step_replay.hpp"

#include <catch2/catch.hpp>

#include "strategies/build_program.hpp"
#include "tests/property/plans.hpp"

namespace rehearse {
namespace {

// Pipelines among hosts, whose messages and gradients meet on NICs, and in a host where kernels and
// collectives slow each other; hosts that keep up with their GPUs, and that do not.
const std::string kClusters[] = {"{name: dgx-a100, nodes: 8}", "{name: dgx-h200, nodes: 1}",
                                 "{name: dgx-a100, nodes: 4, gpus_per_node: 2, inter_node: "
                                 "{nics_per_node: 1, bandwidth: 20 Gb/s}}"};

TEST_CASE("the times of a step of which periods are left out are those of the whole") {
  int shorter = 0, all = 0;
  for (const std::string& cluster_text : kClusters)
    for (const char* schedule : {"gpipe", "1f1b", "interleaved-1f1b", "zb-h1", "zbv"})
      for (const char* runtime : {"megatron", "pytorch-eager"})
        for (const int micro_batches : {24, 96, 160}) {
          PlanText text;
          text.cluster = cluster_text;
          text.runtime = runtime;
          text.schedule = schedule;
          const bool wide = cluster_text == kClusters[0];
          text.tensor = wide ? 4 : 1;
          text.sequence_parallel = wide;
          text.pipeline = 4;
          text.precision = "mixed";
          const bool chunked = text.schedule == "interleaved-1f1b" || text.schedule == "zbv";
          text.virtual_stages = chunked ? 2 : 1;
          text.zero = micro_batches % 64 == 0 ? 0 : 1;
          text.global_batch = micro_batches * (wide ? 4 : 2);
          // Large enough for GPUs, not hosts, to bound some.
          text.model =
              "{model_type: gpt2, n_layer: 8, n_embd: 4096, n_head: 32, vocab_size: 2048, "
              "n_positions: 2048}";
          INFO(text.text());
          Scenario s = text.scenario();
          s.training.sequence_length = micro_batches == 96 ? 128 : 2048;
          const Model model = read_model(s.model);
          const Cluster cluster = read_cluster(s.cluster);
          const Runtime of = read_runtime(s.runtime);
          Program program;
          try {
            program = build_program(resolve_plan(s, model, cluster, of), model, cluster, of, {});
          } catch (const UserError&) {
            continue;  // a schedule that the runtime does not offer
          }
          const Lowered whole = lower(program, cluster, {});
          const StepWindow window = step_window(whole.graph, simulate(whole.graph), whole.notes);
          const StepTimes times = replayed_step_times(program, cluster);
          CHECK(times.begin == window.begin);
          CHECK(times.end == window.end);
          CHECK(times.device == window.device);
          ++all;
          shorter += times.tasks < whole.graph.size();
        }
  CHECK(all > 60);
  CHECK(shorter > 20);
}

}  // namespace
}  // namespace rehearse
