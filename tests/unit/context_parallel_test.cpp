#include "strategies/context/context_parallel.hpp"

#include "strategies/build_program.hpp"
#include "tests/unit/context_scenarios.hpp"
#include "tests/unit/runtime_scenarios.hpp"

namespace rehearse {
namespace {

using namespace context_test;

std::vector<std::int64_t> sizes(const OpGraph& g, const std::string& name) {
  std::vector<std::int64_t> out;
  for (const Tensor& t : g.tensors)
    if (t.name == name)
      for (const Dim& d : t.dims) out.push_back(d.size);
  return out;
}

OpGraph block_of(const ContextScenario& c, ContextParallelMethod method) {
  ContextScenario plain = c;
  plain.ranks = 1;
  const Simulation s = plain.run();
  GraphOptions o = graph_options(s.plan);
  o.sequence = c.length / c.ranks;
  return context_parallel(build_graphs(s.model, o), method, c.ranks).block;
}

TEST_CASE("Ulysses gives attention the whole sequence of a part of the heads", "[context]") {
  ContextScenario c;
  c.ranks = 4;
  c.kv_heads = 2;
  const OpGraph g = block_of(c, ContextParallelMethod::kUlysses);
  check_graph(g);
  CHECK(sizes(g, "q") == std::vector<std::int64_t>{256, 2, 8, 32});
  CHECK(sizes(g, "q.exchanged") == std::vector<std::int64_t>{1024, 2, 2, 32});
  CHECK(sizes(g, "k.exchanged") == std::vector<std::int64_t>{1024, 2, 1, 32});  // replicated
  CHECK(sizes(g, "attention.lse") == std::vector<std::int64_t>{2, 2, 1024});
  CHECK(sizes(g, "attention_out.exchanged") == std::vector<std::int64_t>{256, 2, 8, 32});
}

TEST_CASE("gathered keys have the whole sequence, queries a part", "[context]") {
  ContextScenario c;
  c.ranks = 4;
  const OpGraph g = block_of(c, ContextParallelMethod::kAllGather);
  check_graph(g);
  const Op& attention = g.ops[find_operator(g, "attention")];
  CHECK(g.tensor(attention.inputs[0]).dims[0].size == 256);
  CHECK(g.tensor(attention.inputs[1]).dims[0].size == 1024);
  CHECK(g.tensor(attention.inputs[2]).dims[0].size == 1024);
}

TEST_CASE("a ring computes one kernel a hop", "[context]") {
  ContextScenario c;
  c.ranks = 4;
  const Simulation s = c.run();
  CHECK(runtime_test::count_named(runtime_test::kernels_of(s, "block forward"), "fprop") == 4);
  CHECK(runtime_test::count_named(runtime_test::kernels_of(s, "block backward"), "bprop") == 4);
  c.method = "all_gather";
  CHECK(runtime_test::count_named(runtime_test::kernels_of(c.run(), "block forward"), "fprop") ==
        2);
  c.causal = false;
  CHECK(runtime_test::count_named(runtime_test::kernels_of(c.run(), "block forward"), "fprop") ==
        1);
}

TEST_CASE("context parallelism divides activations", "[context]") {
  ContextScenario c;
  const std::int64_t whole = runtime_test::kept_by_block(c.run());
  c.ranks = 4;
  CHECK(runtime_test::kept_by_block(c.run()) == whole / 4);
  // Ulysses keeps what attention reads and makes before and after the exchange, but v is no part of
  // the fused projection any more: q and k of it are gone, o is there twice.
  c.method = "ulysses";
  const std::int64_t stream = 2 * c.batch * c.length / 4 * c.hidden;
  CHECK(runtime_test::kept_by_block(c.run()) == whole / 4 - 3 * stream + stream + stream);
}

TEST_CASE("gathered keys are kept, or gathered again in backward", "[context]") {
  ContextScenario c;
  c.ranks = 4;
  c.method = "all_gather";
  const Simulation kept = c.run();
  CHECK(traffic_of(kept, "all_gather", "cp").count == 2 * c.layers);
  c.runtime = "{name: pytorch-eager, behaviour: {regathers_sequence: true}}";
  const Simulation again = c.run();
  CHECK(traffic_of(again, "all_gather", "cp").count == 4 * c.layers);
  const std::int64_t part = 2 * c.batch * c.length / 4 * c.hidden;
  // Whole keys and values, against the rank's keys (its values are a view of the fused projection,
  // which is kept whole).
  CHECK(runtime_test::kept_by_block(kept) - runtime_test::kept_by_block(again) ==
        2 * 4 * part - part - 3 * part);
}

TEST_CASE("gradients are reduced, and states cut, over data and context parallelism", "[context]") {
  ContextScenario c;
  c.ranks = 2;
  c.gpus = 4;
  c.batch = 2;
  c.more_plan = "data_parallel: 2";
  // Two ranks of data parallelism need two micro-batches.
  std::string text = c.text();
  text.replace(text.find("global_batch_size: 2"), 20, "global_batch_size: 4");
  const auto run = [&](std::string t, int stage) {
    if (stage > 0)
      t.replace(t.find("gradient_sync: end"), 18, "zero_stage: " + std::to_string(stage));
    SimulationOptions options;
    options.ideal = true;
    return simulate(read_scenarios(parse_text(t, "test"), "test").front(), options);
  };
  const Simulation s = run(text, 0);
  CHECK(s.program.groups[static_cast<int>(GroupKind::kData)].ranks == 4);
  CHECK(traffic_of(s, "all_reduce", "dp").payload == 2 * s.report.parameters);
  CHECK(traffic_of(s, "all_reduce", "dp").wire == 2 * s.report.parameters * 3 / 2);
  const Simulation sharded = run(text, 3);
  const RankProgram& z = sharded.program.ranks.front();
  CHECK(z.parameters.value ==
        Approx(2.0 * static_cast<double>(s.report.parameters) / 4).epsilon(1e-3));
}

TEST_CASE("a causal sequence is cut into two chunks a rank", "[context]") {
  ContextScenario c;
  c.ranks = 4;
  c.length = 1020;
  CHECK_THROWS_WITH(c.run(), Catch::Contains("does not divide by 2 x context_parallel 4"));
  c.causal = false;
  CHECK(c.run().report.step_time.value > 0);
  c.method = "ulysses";
  c.causal = true;
  CHECK(c.run().report.step_time.value > 0);
}

TEST_CASE("key-value heads divide by Ulysses' ranks, or into them", "[context]") {
  ContextScenario c;
  c.method = "ulysses";
  c.ranks = 3;
  c.heads = 9;
  c.hidden = 288;
  c.kv_heads = 3;
  c.length = 1200;
  CHECK(c.run().report.step_time.value > 0);
  c.ranks = 2;
  c.heads = 12;
  c.hidden = 384;
  CHECK_THROWS_WITH(c.run(), Catch::Contains("3 key-value heads (of one rank)"));
}

TEST_CASE("context methods are listed in the order of their names in a plan", "[context]") {
  CHECK(find_context_method(ContextParallelMethod::kRing).name == std::string("ring"));
  CHECK(find_context_method(ContextParallelMethod::kAllGather).name == std::string("all_gather"));
  CHECK(find_context_method(ContextParallelMethod::kUlysses).name == std::string("ulysses"));
}

}  // namespace
}  // namespace rehearse
