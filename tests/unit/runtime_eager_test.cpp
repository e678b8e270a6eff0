#include "tests/unit/runtime_scenarios.hpp"

namespace rehearse {
namespace {

using namespace runtime_test;

Simulation eager(const std::string& training) {
  RuntimeScenario s;
  s.runtime = "pytorch-eager";
  s.training = training;
  return s.run();
}

// What issuing a segment costs the host.
double host_of(const Simulation& s, const std::string& segment) {
  double sum = 0;
  for (const Segment& g : s.program.segments)
    if (g.name == segment) {
      for (const Instr& i : g.instrs) sum += i.host.value;
      return sum;
    }
  FAIL("no segment " << segment);
  return 0;
}

TEST_CASE("pytorch-eager: casts to fp32 count the elements that they write", "[runtime]") {
  const Simulation s = eager("precision: amp");
  int casts = 0;
  for (const Segment& g : s.program.segments)
    for (const Instr& i : g.instrs) {
      const auto* k = std::get_if<Kernel>(&i.what);
      const auto* w = k ? std::get_if<MemoryWork>(&k->work) : nullptr;
      if (!w || w->kernel_class != "cast") continue;
      ++casts;
      CHECK(w->elements * 4 == w->written.value);
    }
  CHECK(casts > 0);
}

TEST_CASE("pytorch-eager: checkpoints cost the host in forward and in backward", "[runtime]") {
  const Simulation plain = eager("precision: bf16");
  const Simulation again = eager("precision: bf16, recompute: full");
  const double forward = host_of(plain, "block forward");
  CHECK(host_of(again, "block forward") > forward);
  // Backward runs forward again, and more than that.
  CHECK(host_of(again, "block backward") > host_of(plain, "block backward") + forward);
}

}  // namespace
}  // namespace rehearse
