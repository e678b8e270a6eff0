// Memory inside the segments of one rank: what forward keeps, backward frees, but for the gradients
// of parameters.

#include <catch2/catch.hpp>

#include "tests/unit/strategy_fixture.hpp"

namespace rehearse {
namespace {

std::int64_t net(const Segment& segment) {
  std::int64_t sum = 0;
  for (const Instr& i : segment.instrs)
    if (const auto* c = std::get_if<MemoryChange>(&i.what))
      sum += c->allocate ? c->bytes.value : -c->bytes.value;
  return sum;
}

// Bytes that each named segment leaves behind, over a whole pass of the model.
std::int64_t net_of_pass(const Built& b) {
  std::int64_t sum = 0;
  int passes = 0;
  for (const Step& step : b.rank().steps)
    if (const auto* run = std::get_if<RunSegment>(&step.work)) {
      sum += net(b.program.segments[run->segment]);
      ++passes;
    }
  REQUIRE(passes >= 2 * (static_cast<int>(b.model.layers) + 2));
  return sum;
}

// What the step itself frees between segments: gradients after the optimizer, casts.
std::int64_t freed_by_steps(const Built& b) {
  std::int64_t sum = 0;
  for (const Step& step : b.rank().steps)
    if (const auto* m = std::get_if<Memory>(&step.work))
      sum += m->change.allocate ? m->change.bytes.value : -m->change.bytes.value;
  return sum;
}

// Every stored gradient rounded to the allocator's grain, the tied one once.
std::int64_t gradient_bytes(const Built& b) {
  const ModelGraphs g = build_graphs(b.model, graph_options(b.plan));
  const std::int64_t element = size_of(b.plan.training.precision.gradients).value;
  const std::int64_t grain = b.runtime.allocation_granularity.value;
  std::int64_t sum = 0;
  const auto add = [&](const OpGraph& graph, std::int64_t times) {
    for (const Op& op : graph.ops)
      for (TensorId p : op.parameters) {
        if (b.model.tied && graph.name == "head" && op.name == "head") continue;
        sum += times * ((graph.tensor(p).elements() * element + grain - 1) / grain * grain);
      }
  };
  add(g.embedding, 1);
  add(g.block, b.model.layers);
  add(g.head, 1);
  return sum;
}

struct Option {
  const char* name;
  std::string training;
};

TEST_CASE("forward and backward leave the gradients and nothing else") {
  const Option options[] = {
      {"plain", ""},
      {"selective recomputation", ", recompute: selective"},
      {"full recomputation", ", recompute: full"},
      {"recomputation of operators", ", recompute: operators"},
      {"recomputation of every second layer", ", recompute: alternate"},
      {"unfused attention", ", attention: unfused"},
      {"dropout", ", dropout: 0.1"},
      {"unfused attention with dropout, recomputed",
       ", attention: unfused, dropout: 0.1, recompute: full"},
      {"autocast", ", precision: amp"},
      {"autocast, recomputed", ", precision: amp, recompute: full"},
      {"fp32", ", precision: fp32"},
  };
  for (const char* model : {kSmallGpt2, kSmallLlama})
    for (const Option& option : options) {
      INFO(option.name << " " << model);
      BuildText text;
      text.model = model;
      text.training = "micro_batch_size: 2, global_batch_size: 2" + option.training;
      const Built b = build(text);
      CHECK(net_of_pass(b) + freed_by_steps(b) == 0);
      if (b.plan.training.recompute == Recompute::kFull && b.plan.training.precision.autocast)
        continue;  // the step frees casts too
      CHECK(net_of_pass(b) == gradient_bytes(b));
      CHECK(freed_by_steps(b) == -gradient_bytes(b));
    }
}

TEST_CASE("tensor parallelism leaves the gradients of its part") {
  BuildText text;
  text.gpus = 4;
  for (const char* plan :
       {"tensor_parallel: 4", "tensor_parallel: 4, sequence_parallel: true",
        "tensor_parallel: 4, vocabulary_parallel: true",
        "tensor_parallel: 4, sequence_parallel: true, vocabulary_parallel: true"}) {
    INFO(plan);
    text.plan = plan;
    const Built b = build(text);
    CHECK(net_of_pass(b) > 0);
    CHECK(net_of_pass(b) + freed_by_steps(b) == 0);
  }
}

// Forward of a block keeps less the more is recomputed: everything, all but the core of attention
// (its statistic alone, with flash), the block's input.
TEST_CASE("recomputation keeps less of a block") {
  const auto kept = [](const char* recompute) {
    BuildText text;
    text.training = std::string(
                        "micro_batch_size: 2, global_batch_size: 2, attention: unfused, "
                        "recompute: ") +
                    recompute;
    const Built b = build(text);
    for (const Segment& s : b.program.segments)
      if (s.name == "block forward") return net(s);
    return std::int64_t{-1};
  };
  CHECK(kept("full") < kept("selective"));
  CHECK(kept("selective") < kept("none"));
  CHECK(kept("full") < kept("operators"));
  CHECK(kept("operators") < kept("none"));
  // Full: the input stays where it is, and the output [128, 2, 64] in bf16 is the next one's.
  CHECK(kept("full") == 128 * 2 * 64 * 2);
}

TEST_CASE("a block's forward keeps twice as much of twice the sequences") {
  const auto kept = [](int sequences) {
    BuildText text;
    text.training = "micro_batch_size: " + std::to_string(sequences) + ", global_batch_size: 4";
    const Built b = build(text);
    for (const Segment& s : b.program.segments)
      if (s.name == "block forward") return net(s);
    return std::int64_t{-1};
  };
  CHECK(kept(4) == 2 * kept(2));
}

}  // namespace
}  // namespace rehearse
