// What the kernels of the segments compute: backward does twice forward's products, recomputation
// does forward's again, and tensor parallelism divides them.

#include <catch2/catch.hpp>

#include "tests/unit/strategy_fixture.hpp"

namespace rehearse {
namespace {

struct Sums {
  double forward = 0, backward = 0, recompute = 0;
};

// FLOPs of matrix products (and of attention, when it is asked for) by activity, over a rank's
// step.
Sums work(const Built& b, bool attention) {
  Sums sums;
  for (const Step& step : b.rank().steps) {
    const auto* run = std::get_if<RunSegment>(&step.work);
    if (!run) continue;
    for (const Instr& i : b.program.segments[run->segment].instrs) {
      const auto* k = std::get_if<Kernel>(&i.what);
      if (!k) continue;
      const bool counted = std::holds_alternative<GemmWork>(k->work) ||
                           (attention && std::holds_alternative<AttentionWork>(k->work));
      if (!counted) continue;
      double& sum = i.activity == Activity::kForward    ? sums.forward
                    : i.activity == Activity::kBackward ? sums.backward
                                                        : sums.recompute;
      sum += flops(k->work).value;
    }
  }
  return sums;
}

BuildText one_pass(const std::string& training = "") {
  BuildText text;
  text.training = "micro_batch_size: 1, global_batch_size: 1" + training;
  return text;
}

// Forward of the linears: 2 FLOPs a weight and token; unfused attention: scores and context,
// 2 s^2 h each.
double products_of(const Model& m, std::int64_t s) {
  const double h = static_cast<double>(m.hidden), f = static_cast<double>(m.intermediate);
  const double kv = static_cast<double>(m.kv_heads * m.head_size);
  const double up = m.activation == ActivationKind::kSwiGlu ? 3 : 2;
  const double block = h * (h + 2 * kv) + h * h + up * h * f;
  const double tokens = static_cast<double>(s);
  return 2 * tokens *
             (static_cast<double>(m.layers) * block + h * static_cast<double>(m.vocabulary)) +
         static_cast<double>(m.layers) * 4 * tokens * tokens * h;
}

TEST_CASE("forward computes the products of the closed form") {
  for (const char* model : {kSmallGpt2, kSmallLlama}) {
    BuildText text = one_pass(", attention: unfused, causal: false");
    text.model = model;
    const Built b = build(text);
    CHECK(work(b, false).forward == Approx(products_of(b.model, 128)).epsilon(1e-12));
  }
}

TEST_CASE("backward computes twice the products of forward") {
  for (const char* model : {kSmallGpt2, kSmallLlama}) {
    BuildText text = one_pass(", attention: unfused");
    text.model = model;
    const Sums s = work(build(text), false);
    CHECK(s.backward == Approx(2 * s.forward).epsilon(1e-12));
    CHECK(s.recompute == 0);
  }
}

// Recomputation stops before `down`, whose output backward does not read; with dropout after it, it
// does not stop there.
TEST_CASE("full recomputation computes the blocks' forward again, but for the last product") {
  const Built b = build(one_pass(", recompute: full"));
  const double blocks = products_of(b.model, 128) - 2.0 * 128 * 64 * 512 - 8 * 4.0 * 128 * 128 * 64;
  const double down = 8 * 2.0 * 128 * 64 * 192;
  CHECK(work(b, false).recompute == Approx(blocks - down).epsilon(1e-12));
  const Built dropout = build(one_pass(", recompute: full, dropout: 0.1"));
  CHECK(work(dropout, false).recompute == Approx(blocks).epsilon(1e-12));
}

TEST_CASE("selective recomputation computes attention's core again") {
  for (const char* attention : {"flash", "unfused"}) {
    INFO(attention);
    const std::string kind = std::string(", attention: ") + attention;
    const Sums none = work(build(one_pass(kind)), true);
    const Sums selective = work(build(one_pass(kind + ", recompute: selective")), true);
    CHECK(selective.forward == none.forward);
    CHECK(selective.backward == none.backward);
    const double core = none.forward - work(build(one_pass()), false).forward;
    CHECK(selective.recompute == Approx(core).epsilon(1e-12));
  }
}

TEST_CASE("every micro-batch computes the same") {
  BuildText text = one_pass();
  const Sums one = work(build(text), true);
  text.training = "micro_batch_size: 1, global_batch_size: 4";
  const Sums four = work(build(text), true);
  CHECK(four.forward == Approx(4 * one.forward));
  CHECK(four.backward == Approx(4 * one.backward));
}

TEST_CASE("tensor parallelism divides the products") {
  for (const char* sequence : {"false", "true"}) {
    BuildText text = one_pass(", attention: unfused");
    const Sums whole = work(build(text), true);
    text.gpus = 4;
    text.plan = std::string("tensor_parallel: 4, vocabulary_parallel: true, sequence_parallel: ") +
                sequence;
    const Sums part = work(build(text), true);
    CHECK(4 * part.forward == Approx(whole.forward).epsilon(1e-12));
    CHECK(4 * part.backward == Approx(whole.backward).epsilon(1e-12));
  }
}

TEST_CASE("a head that is not cut is computed by every rank") {
  BuildText text = one_pass(", attention: unfused");
  const Sums whole = work(build(text), true);
  text.gpus = 4;
  text.plan = "tensor_parallel: 4, vocabulary_parallel: false";
  const double head = 2.0 * 128 * 64 * 512;
  CHECK(work(build(text), true).forward ==
        Approx((whole.forward - head) / 4 + head).epsilon(1e-12));
}

// The tensor-parallel collectives of the blocks alone.
std::vector<CollectiveWork> collectives_of(const Built& b, const std::string& name) {
  std::vector<CollectiveWork> out;
  for (const Segment& s : b.program.segments)
    if (s.name == name) {
      for (const Instr& i : s.instrs)
        if (const auto* c = std::get_if<CollectiveWork>(&i.what)) out.push_back(*c);
      return out;
    }
  FAIL("no segment " << name);
  return out;
}

// Shoeybi et al. 2019: two all-reduces of the activations [s, b, h] in forward, two in backward.
TEST_CASE("a block of tensor parallelism all-reduces twice in each direction") {
  BuildText text = one_pass();
  text.gpus = 4;
  text.plan = "tensor_parallel: 4";
  const Built b = build(text);
  for (const char* name : {"block forward", "block backward"}) {
    const auto list = collectives_of(b, name);
    REQUIRE(list.size() == 2);
    for (const CollectiveWork& c : list) {
      CHECK(c.op == CollectiveOp::kAllReduce);
      CHECK(c.bytes == Bytes(128 * 1 * 64 * 2));
    }
  }
}

// Korthikanti et al. 2022: an all-reduce becomes a reduce-scatter and an all-gather.
TEST_CASE("sequence parallelism gathers and scatters twice in each direction") {
  BuildText text = one_pass();
  text.gpus = 4;
  text.plan = "tensor_parallel: 4, sequence_parallel: true";
  const Built b = build(text);
  for (const char* name : {"block forward", "block backward"}) {
    int gathers = 0, scatters = 0;
    for (const CollectiveWork& c : collectives_of(b, name)) {
      CHECK(c.bytes == Bytes(128 * 1 * 64 * 2));
      gathers += c.op == CollectiveOp::kAllGather;
      scatters += c.op == CollectiveOp::kReduceScatter;
    }
    CHECK(gathers == 2);
    CHECK(scatters == 2);
  }
}

TEST_CASE("one rank communicates nothing") {
  const Built b = build(one_pass());
  for (const Segment& s : b.program.segments)
    for (const Instr& i : s.instrs) CHECK_FALSE(std::holds_alternative<CollectiveWork>(i.what));
  CHECK(collectives(b.rank()).empty());
}

// qkv, proj, up (with gate) and down: one cast each, of weights alone.
// The labels of a segment's kernels, and the names of what it allocates, each once in a row.
std::vector<std::string> labels(const Built& b, const std::string& segment, bool memory) {
  std::vector<std::string> out;
  for (const Segment& s : b.program.segments) {
    if (s.name != segment) continue;
    for (const Instr& i : s.instrs) {
      const auto* c = std::get_if<MemoryChange>(&i.what);
      const bool counts = memory ? c && c->allocate : std::holds_alternative<Kernel>(i.what);
      const std::string label(b.program.names[i.label]);
      if (counts && (out.empty() || out.back() != label)) out.push_back(label);
    }
    break;
  }
  return out;
}

bool in_order(const std::vector<std::string>& all, const std::vector<std::string>& wanted) {
  return std::search(all.begin(), all.end(), wanted.begin(), wanted.end()) != all.end();
}

// The order of the allocations in calibration/results/h200-sxm/allocations.*.csv.gz.
TEST_CASE("autocast casts bias, weight and input, and their gradients the other way round") {
  BuildText text = one_pass(", precision: amp");
  text.model = kSmallGpt2;
  const Built b = build(text);
  CHECK(in_order(labels(b, "block forward", true),
                 {"qkv.bias (cast)", "qkv.weight (cast)", "qkv_cast_out", "qkv_out"}));
  // Products, the cast of the input's gradient, those of the parameters'.
  CHECK(in_order(labels(b, "block backward", false), {"gelu", "up", "up_cast", "up", "norm2"}));
}

TEST_CASE("autocast casts the weights of every product in forward") {
  const Built b = build(one_pass(", precision: amp"));
  int casts = 0;
  for (const Segment& s : b.program.segments) {
    if (s.name != "block forward") continue;
    for (const Instr& i : s.instrs)
      if (const auto* k = std::get_if<Kernel>(&i.what))
        casts += b.program.names[k->name].find("bfloat16_copy") != std::string::npos &&
                 b.program.names[i.label].find("_cast") == std::string::npos;
  }
  CHECK(casts == 4);
}

}  // namespace
}  // namespace rehearse
