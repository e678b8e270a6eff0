#include "strategies/segments/recompute.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <string>

#include "models/op_graph.hpp"
#include "tests/unit/strategy_fixture.hpp"

namespace rehearse {
namespace {

// FLOPs of matrix products by activity, of all segments of a name.
double products(const Built& b, Activity activity, const std::string& segment) {
  double sum = 0;
  for (const Segment& s : b.program.segments) {
    if (s.name.find(segment) == s.name.npos) continue;
    for (const Instr& i : s.instrs)
      if (const auto* k = std::get_if<Kernel>(&i.what); k && i.activity == activity)
        if (const auto* w = std::get_if<GemmWork>(&k->work)) sum += flops(*w).value;
  }
  return sum;
}

Built with(const std::string& recompute) {
  BuildText text;
  text.training = "micro_batch_size: 2, global_batch_size: 2, recompute: " + recompute;
  return build(text);
}

// A Llama layer runs seven products in PyTorch: q, k, v, o, gate, up, down. Saved are the first,
// third, fifth and seventh; k, o and up run again, attention does not, and norms do.
TEST_CASE("per-operator recomputation runs every second product again") {
  GraphOptions o;
  o.batch = 1;
  o.sequence = 32;
  const Model model = with("none").model;
  const OpGraph g = build_graphs(model, o).block;
  const auto share = [&](const std::string& name) {
    for (const Op& op : g.ops)
      if (op.name == name) return recomputed_share(Recompute::kOperators, g, op);
    return -1.0;
  };
  const double key = static_cast<double>(model.kv_heads);
  CHECK(share("qkv") == Approx(key / (static_cast<double>(model.heads) + 2 * key)));
  CHECK(share("proj") == 1);
  CHECK(share("up") == 0.5);
  CHECK(share("down") == 0);
  CHECK(share("attention") == 0);
  CHECK(share("norm1") == 1);
  for (const Op& op : g.ops) {
    CHECK(recomputed_share(Recompute::kFull, g, op) == 1);
    CHECK(recomputed_share(Recompute::kNone, g, op) == 0);
  }
}

TEST_CASE("per-operator recomputation repeats just those parts of a layer's products") {
  const Built none = with("none"), operators = with("operators"), full = with("full");
  const double again = products(operators, Activity::kRecompute, "block");
  CHECK(products(none, Activity::kRecompute, "block") == 0);
  CHECK(again > 0);
  CHECK(again < products(full, Activity::kRecompute, "block"));
  for (const Activity a : {Activity::kForward, Activity::kBackward})
    CHECK(products(operators, a, "block") == products(none, a, "block"));
}

// Of two layers the second recomputes: one more segment of forward, which keeps its input alone.
TEST_CASE("alternate recomputation runs every second layer again") {
  const Built full = with("full"), alternate = with("alternate");
  const auto calls = [](const Built& b, Activity a) {
    int n = 0;
    for (const RankProgram& r : b.program.ranks)
      for (const StepList::Call& call : r.steps.calls())
        for (const Step& step : r.steps.pass(call.pass))
          if (const auto* run = std::get_if<RunSegment>(&step.work)) {
            const auto& instrs = b.program.segments[run->segment].instrs;
            n += std::any_of(instrs.begin(), instrs.end(),
                             [&](const Instr& i) { return i.activity == a; });
          }
    return n;
  };
  CHECK(2 * calls(alternate, Activity::kRecompute) == calls(full, Activity::kRecompute));
}

}  // namespace
}  // namespace rehearse
