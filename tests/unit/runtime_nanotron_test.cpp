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

// What the kernels of this name beside the update read.
std::int64_t read_by(const Simulation& s, const std::string& name) {
  std::int64_t read = 0;
  const StepList& steps = s.program.ranks.front().steps;
  for (std::uint32_t pass = 0; pass < steps.passes(); ++pass)
    for (const Step& step : steps.pass(pass))
      if (const auto* k = std::get_if<RunKernel>(&step.work))
        if (s.program.names[k->kernel.name] == name)
          read += std::get<MemoryWork>(k->kernel.work).read.value;
  return read;
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

S pipeline_of_two(std::int64_t batch) {
  S s;
  s.runtime = "nanotron";
  s.gpus = 2;
  s.batch = batch;
  s.plan = "pipeline_parallel: 2, pipeline_messages: blocking";
  return s;
}

TEST_CASE("nanotron: messages of a pipeline are not checked", "[runtime]") {
  const S plain = pipeline_of_two(8);
  S checked = plain;
  checked.runtime = kChecked;
  const double seconds = checked.run().report.step_time.value - plain.run().report.step_time.value;
  // The gradient's norm alone is added up over the pipeline.
  CHECK(seconds * 1e6 <= 195 + 182 + 1);
}

// Over a border go activations with the sequences' mask, two tensors, and a gradient. Either host
// sleeps 200 ms for each of the three.
TEST_CASE("nanotron: polled messages let both hosts sleep, once a tensor", "[runtime]") {
  const S plain = pipeline_of_two(32);
  S polled = plain;
  polled.runtime = "{name: nanotron, behaviour: {polls_messages: true}}";
  const double seconds = polled.run().report.step_time.value - plain.run().report.step_time.value;
  // 0.6 s a micro-batch, and once more to fill the pipeline.
  CHECK(seconds / 32 > 0.59);
  CHECK(seconds / 32 < 0.63);
}

// Gradients are all-reduced once, whole, and the norm is that of all.
TEST_CASE("nanotron: ZeRO 1 reduces and clips whole gradients, and gathers parts", "[runtime]") {
  S s;
  s.runtime = "nanotron";
  s.gpus = 4;
  s.batch = 4;
  s.plan = "data_parallel: 4, zero_stage: 1, bucket_size: 1 TiB";
  const Simulation cut = s.run();
  s.plan = "data_parallel: 4";
  const Simulation whole = s.run();
  CHECK(row_of(cut, "reduce_scatter", "dp").count == 0);
  CHECK(row_of(cut, "all_reduce", "dp").count == 1);
  CHECK(row_of(cut, "all_reduce", "dp").payload == row_of(whole, "all_reduce", "dp").payload);
  CHECK(row_of(cut, "all_gather", "dp").count == 1);
  const std::int64_t read = read_by(cut, "reduce_kernel");
  CHECK(read > 0);
  CHECK(read == read_by(whole, "reduce_kernel"));
}

// Six parameters a layer, an embedding, a norm and a head, of four ranks each a part: 18.5 us a
// part.
TEST_CASE("nanotron: the host copies every rank's part of every parameter", "[runtime]") {
  S s;
  s.gpus = 4;
  s.batch = 4;
  s.plan = "data_parallel: 4, zero_stage: 1, bucket_size: 1 TiB";
  s.runtime = "nanotron";
  const double with = s.run().report.step_time.value;
  s.runtime = "{name: nanotron, parameters: {gather_parameters: {host: 0 us}}}";
  const double parts = (6 * S::kLayers + 3) * 4;
  const double longer = (with - s.run().report.step_time.value) * 1e6;
  CHECK(longer > 0.8 * 18.5 * parts);
  CHECK(longer <= 18.5 * parts + 1);
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
