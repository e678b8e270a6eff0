#include "tests/unit/runtime_scenarios.hpp"

namespace rehearse {
namespace {

using namespace runtime_test;
using S = RuntimeScenario;

constexpr const char* kChecked = "{name: nanotron, behaviour: {checks_collectives: true}}";

// Host time of the collectives of a block's two passes, in microseconds, and how many there are.
struct Collectives {
  int count = 0;
  double host = 0;
};

Collectives of_block(const Simulation& s) {
  Collectives out;
  for (const Segment& g : s.program.segments) {
    if (g.name != "block forward" && g.name != "block backward") continue;
    for (const Instr& i : g.instrs)
      if (std::holds_alternative<CollectiveWork>(i.what) ||
          std::holds_alternative<Overlap>(i.what)) {
        ++out.count;
        out.host += i.host.value * 1e6;
      }
  }
  return out;
}

// Four ranks check for 195 us and 182 us a further rank: 741 us a collective.
TEST_CASE("nanotron: checked collectives cost the host by ranks of their group", "[runtime]") {
  S plain;
  plain.runtime = "nanotron";
  plain.gpus = 4;
  plain.plan = "tensor_parallel: 4, sequence_parallel: true";
  S checked = plain;
  checked.runtime = kChecked;
  const Collectives before = of_block(plain.run()), after = of_block(checked.run());
  REQUIRE(before.count == 10);
  REQUIRE(after.count == 10);
  CHECK(after.host - before.host == Approx(10 * (195 + 3 * 182)));
}

// Of eight ranks on two nodes, four are heard at the barrier in turn, and two gathers have seven
// rounds each: 18 times 86 us, TCP's 100 us without the 14 us of loopback.
TEST_CASE("nanotron: checks between nodes wait for TCP", "[runtime]") {
  S s;
  s.gpus = 4;
  s.nodes = 2;
  s.host = "{round_trip: 100 us}";
  s.plan = "tensor_parallel: 8, sequence_parallel: true";
  s.runtime = kChecked;
  const Simulation checked = s.run();
  const auto tensor = static_cast<std::size_t>(GroupKind::kTensor);
  CHECK(checked.program.check_waits[tensor].value * 1e6 == Approx(86 * 18));
  s.host = "{}";
  const Simulation unstated = s.run();
  CHECK(unstated.program.check_waits[tensor].value == 0);
  const double longer = checked.report.step_time.value - unstated.report.step_time.value;
  CHECK(longer > 4 * 10 * 86e-6 * 18);  // of the collectives of four blocks, and some more
  s.host = "{round_trip: 100 us}";
  s.runtime = "nanotron";
  CHECK(s.run().program.check_waits[tensor].value == 0);
}

TEST_CASE("nanotron: messages of a pipeline are not checked", "[runtime]") {
  S plain;
  plain.runtime = "nanotron";
  plain.gpus = 2;
  plain.batch = 8;
  plain.plan = "pipeline_parallel: 2, pipeline_messages: blocking";
  S checked = plain;
  checked.runtime = kChecked;
  const double seconds = checked.run().report.step_time.value - plain.run().report.step_time.value;
  // The gradient's norm alone is added up over the pipeline.
  CHECK(seconds * 1e6 <= 195 + 182 + 1);
}

// Over a border go activations with the sequences' mask, two tensors, and a gradient. Either host
// sleeps 200 ms for each of the three.
TEST_CASE("nanotron: polled messages let both hosts sleep, once a tensor", "[runtime]") {
  S plain;
  plain.runtime = "nanotron";
  plain.gpus = 2;
  plain.batch = 32;
  plain.plan = "pipeline_parallel: 2, pipeline_messages: blocking";
  S polled = plain;
  polled.runtime = "{name: nanotron, behaviour: {polls_messages: true}}";
  const double seconds = polled.run().report.step_time.value - plain.run().report.step_time.value;
  // 0.6 s a micro-batch, and once more to fill the pipeline.
  CHECK(seconds / 32 > 0.59);
  CHECK(seconds / 32 < 0.63);
}

TEST_CASE("nanotron: attention of several sequences is copied around the projection", "[runtime]") {
  S s;
  s.runtime = "nanotron";
  const auto copies = [&](const char* segment) {
    return count_named(kernels_of(s.run(), segment), "direct_copy");
  };
  const std::int64_t forward = copies("block forward"), backward = copies("block backward");
  s.batch = s.micro_batch = 2;
  CHECK(copies("block forward") == forward + 1);
  CHECK(copies("block backward") == backward + 2);
}

}  // namespace
}  // namespace rehearse
