#include <catch2/catch.hpp>

#include "tests/unit/model_test_support.hpp"

// O35. With multi-head attention that is not causal, the projections q, k, v and output cost
// 4 x 2 b s h^2 = 8 b s h^2 and scores with context 4 b s^2 h. They are equal at s = 2 h.

using namespace rehearse;
using namespace rehearse::test;

namespace {

struct Costs {
  double projections, attention;
};

Costs costs_at(std::int64_t sequence) {
  GraphOptions options;
  options.sequence = sequence;
  const Model m = model_of("{model_type: llama, hidden_size: 1024, num_attention_heads: 16}");
  const OpGraph g = build_graphs(m, options).block;
  const auto flops = [&](const char* op) { return forward_flops(g, op_named(g, op), false).value; };
  return {flops("qkv") + flops("proj"), flops("attention")};
}

}  // namespace

TEST_CASE("o35: attention costs as much as its projections at s = 2 h") {
  const Costs c = costs_at(2048);
  CHECK(c.attention == c.projections);
}

TEST_CASE("o35: attention grows with s^2, its projections with s") {
  const Costs one = costs_at(1024);
  const Costs four = costs_at(4096);
  CHECK(four.attention == 16 * one.attention);
  CHECK(four.projections == 4 * one.projections);
  CHECK(one.attention < one.projections);
  CHECK(four.attention > four.projections);
}
