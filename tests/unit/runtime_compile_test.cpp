#include "sim/base/error.hpp"
#include "sim/config/catalog.hpp"
#include "tests/unit/runtime_scenarios.hpp"
#include "tests/unit/temp_folder.hpp"

namespace rehearse {
namespace {

using namespace runtime_test;
using S = RuntimeScenario;

S compiled(const std::string& precision = "bf16") {
  S s;
  s.runtime = "pytorch-compile";
  s.training = "precision: " + precision;
  return s;
}

S eager(const std::string& precision = "bf16") {
  S s = compiled(precision);
  s.runtime = "pytorch-eager";
  return s;
}

TEST_CASE("pytorch-compile: elementwise work of a block is a few kernels", "[runtime]") {
  const Simulation s = compiled().run();
  const auto forward = kernels_of(s, "block forward");
  // norm, qkv, rotary of q and of k, attention, proj, add + norm, up, swiglu, down, add
  CHECK(forward.size() == 11);
  CHECK(count_named(forward, "fused_add_rms_norm") == 1);
  CHECK(count_named(forward, "triton_poi_fused_mul_silu") == 1);
  const auto backward = kernels_of(s, "block backward");
  // Four products twice, SwiGLU, attention, rotary with the concatenation, two norms of two
  // kernels.
  CHECK(backward.size() == 8 + 1 + 1 + 1 + 4);
}

TEST_CASE("pytorch-compile: casts of autocast are part of norms", "[runtime]") {
  const auto forward = kernels_of(compiled("amp").run(), "block forward");
  CHECK(count_named(forward, "fused_rms_norm_cast") == 1);
  CHECK(count_named(forward, "fused_add_rms_norm_cast") == 1);
  const auto backward = kernels_of(compiled("amp").run(), "block backward");
  CHECK(count_named(backward, "CUDAFunctor_add") == 0);
}

TEST_CASE("pytorch-compile: embedding, head and loss stay eager", "[runtime]") {
  const Simulation a = compiled().run(), b = eager().run();
  for (const char* segment :
       {"embedding forward", "embedding backward", "head forward", "head backward"}) {
    CHECK(!kernels_of(a, segment).empty());
    CHECK(kernels_of(a, segment) == kernels_of(b, segment));
  }
}

TEST_CASE("pytorch-compile: silu is computed again, everything else is kept as in eager",
          "[runtime]") {
  CHECK(kept_by_block(eager().run()) - kept_by_block(compiled().run()) ==
        2 * S::kLength * S::kInner);
}

TEST_CASE("pytorch-compile: nothing that stays inside a fused kernel is allocated", "[runtime]") {
  // Under autocast a norm gives fp32, which the cast that follows reads and nobody else.
  const auto fp32_streams = [](const Simulation& s) {
    int n = 0;
    for (const Segment& g : s.program.segments)
      if (g.name == "block forward")
        for (const Instr& i : g.instrs)
          if (const auto* c = std::get_if<MemoryChange>(&i.what))
            n += c->allocate && c->bytes.value == 4 * S::kLength * S::kHidden;
    return n;
  };
  CHECK(fp32_streams(eager("amp").run()) - fp32_streams(compiled("amp").run()) == 2);
}

TEST_CASE("pytorch-compile: a block costs the host less", "[runtime]") {
  const auto host = [](const Simulation& s) {
    Seconds sum(0);
    for (const Segment& g : s.program.segments)
      if (g.name == "block forward" || g.name == "block backward")
        for (const Instr& i : g.instrs) sum += i.host;
    return sum;
  };
  CHECK(host(compiled().run()) < host(eager().run()) * 0.75);
}

TEST_CASE("a runtime builds on another", "[runtime][catalog]") {
  const Value v = resolve("runtimes", Value::scalar("pytorch-compile"));
  CHECK(v.find("name")->as_scalar().text == "pytorch-compile");
  CHECK(v.find("base") == nullptr);
  CHECK(v.find("operators") != nullptr);
  CHECK(v.find("blocks") != nullptr);
}

TEST_CASE("a runtime's base must exist", "[runtime][catalog]") {
  TempFolder folder;
  const std::string path = folder.write("mine.yaml", "name: mine\nbase: pytorch-eagr\n");
  CHECK_THROWS_WITH(
      resolve("runtimes", Value::scalar(path)),
      Catch::Contains("unknown runtime 'pytorch-eagr'") && Catch::Contains("pytorch-eager"));
}

TEST_CASE("operators that a runtime fuses must exist", "[runtime]") {
  S s = compiled();
  s.runtime = "{name: pytorch-eager, behaviour: {fused_operators: [ad]}}";
  CHECK_THROWS_WITH(s.run(), Catch::Contains("no operator 'ad'"));
}

}  // namespace
}  // namespace rehearse
