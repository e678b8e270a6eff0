// Transfers of different kinds that meet on the links of a cluster, in runs of whole plans.

#include <catch2/catch.hpp>
#include <string>

#include "sim/report/breakdown.hpp"
#include "strategies/step_clock.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

constexpr const char* kModel =
    "{model_type: llama, num_hidden_layers: 8, hidden_size: 1024, num_attention_heads: 8, "
    "num_key_value_heads: 8, intermediate_size: 4096, vocab_size: 4096}";

Simulation run(const std::string& cluster, const std::string& plan) {
  std::string text = "model: ";
  text += kModel;
  text += "\ncluster: " + cluster;
  text += "\nruntime: megatron\ntraining: {sequence_length: 4096, micro_batch_size: 1, ";
  text += "global_batch_size: 32, precision: mixed}\nplan: " + plan + "\n";
  return simulate(read_scenarios(parse_text(text, "s"), "s").front());
}

struct Times {
  double alone_s = 0, shared_s = 0;
  bool meet = false;
};

// The last step as if nothing met, and as it is.
Times times(const Simulation& s) {
  Prices prices(s.program, s.cluster, Clocks::kSustained);
  const StepTimes t = walked_step_times(s.program, s.cluster, {}, prices);
  return {(t.end - t.begin).seconds().value, s.report.step_time.value, t.transfers_meet};
}

}  // namespace

TEST_CASE("gradients and pipeline messages on one NIC slow each other") {
  const Simulation s = run(
      "{name: dgx-a100, nodes: 4, gpus_per_node: 1, inter_node: {nics_per_node: 1, bandwidth: 20 "
      "Gb/s}}",
      "{data_parallel: 2, pipeline_parallel: 2, gradient_sync: overlap, bucket_size: 4 MiB}");
  CHECK(s.lowered.graph.link_count() > 0);
  const Times t = times(s);
  CHECK(t.meet);
  CHECK(t.shared_s > 1.001 * t.alone_s);
}

TEST_CASE("gradients between nodes and tensor parallelism inside them do not meet") {
  const Simulation s = run("{name: dgx-a100, nodes: 2, gpus_per_node: 2}",
                           "{tensor_parallel: 2, data_parallel: 2, gradient_sync: overlap}");
  CHECK(s.lowered.graph.link_count() == 0);
  const Times t = times(s);
  CHECK_FALSE(t.meet);
  CHECK(t.shared_s == t.alone_s);
}

TEST_CASE("two communicators on one NVLink slow each other") {
  const Simulation s = run("{name: dgx-a100, nodes: 1, gpus_per_node: 4}",
                           "{tensor_parallel: 2, data_parallel: 2, gradient_sync: overlap, "
                           "bucket_size: 200 MiB}");
  const TaskGraph& graph = s.lowered.graph;
  CHECK(graph.link_count() > 0);
  const Times t = times(s);
  CHECK(t.meet);
  CHECK(t.shared_s >= t.alone_s);  // the host may hold the step back by more
  int slowed = 0;
  for (TaskId task = 0; task < graph.size(); ++task) {
    if (graph.transfer_of(task) == kNoTransfer) continue;
    CHECK(s.timeline.duration(task).ps >= graph.hot(task).duration_ps);
    slowed += s.timeline.duration(task).ps > graph.hot(task).duration_ps;
  }
  CHECK(slowed > 0);
}

// Eight GPUs, four NICs: both GPUs of a NIC send at the same time, so a message takes as long as
// two.
TEST_CASE("messages of tensor-parallel neighbours share their NIC") {
  const auto messages = [](int nics) {
    const Simulation s =
        run("{name: dgx-a100, nodes: 2, gpus_per_node: 2, inter_node: "
            "{nics_per_node: " +
                std::to_string(nics) + ", bandwidth: 8 Gb/s}}",
            "{tensor_parallel: 2, pipeline_parallel: 2}");
    const Annotations& notes = s.lowered.notes;
    for (TaskId t = 0; t < s.lowered.graph.size(); ++t)
      if (notes.tasks[t].activity == Activity::kSend && notes.tasks[t].step == 1)
        return s.timeline.duration(t).ps;
    return std::int64_t{0};
  };
  CHECK(messages(2) > 0);
  // Not twice to the last: a message's own start takes nothing of the NIC.
  CHECK(static_cast<double>(messages(1)) ==
        Approx(2.0 * static_cast<double>(messages(2))).epsilon(0.03));
}

TEST_CASE("the mesh gives a run what it gives a price") {
  const Simulation s =
      run("{name: dgx-1v, gpus_per_node: 8}", "{tensor_parallel: 2, data_parallel: 4}");
  const CommGroup& group = s.program.groups[static_cast<std::size_t>(GroupKind::kTensor)];
  CHECK(group.inside == Approx(1.0 / 6));
  for (const CommunicationRow& c : s.report.communication) {
    if (c.group != "tp") continue;
    CommGroup whole = group;
    whole.inside = 1;
    const auto op = c.operation == "all_reduce"   ? CollectiveOp::kAllReduce
                    : c.operation == "all_gather" ? CollectiveOp::kAllGather
                                                  : CollectiveOp::kReduceScatter;
    const Bytes each(c.payload.value / c.count);
    const double alone = price_collective(s.cluster, op, each, group).time.value;
    const double without = price_collective(s.cluster, op, each, whole).time.value;
    CHECK(alone > 2 * without);
    CHECK(c.time.value > 2 * without * static_cast<double>(c.count));
  }
}

}  // namespace rehearse
