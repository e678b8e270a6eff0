#include <catch2/catch.hpp>
#include <random>

#include "tests/unit/model_test_support.hpp"

// Random models of every shape that a family can have, seeded. For each, two independent ways to
// the same number: closed forms on the Model, and sums over the graphs.

using namespace rehearse;
using namespace rehearse::test;

namespace {

class RandomModels {
 public:
  Model model() {
    Model m;
    m.name = "random";
    m.kv_heads = pick(1, 4);
    m.heads = m.kv_heads * pick(1, 4);
    m.head_size = 2 * pick(1, 32);
    m.hidden = flip() ? m.heads * m.head_size : pick(1, 300);
    m.layers = pick(1, 40);
    m.intermediate = pick(1, 1000);
    m.vocabulary = pick(1, 5000);
    m.max_positions = pick(64, 128);
    m.norm = flip() ? NormKind::kLayerNorm : NormKind::kRmsNorm;
    m.activation = flip() ? ActivationKind::kGelu : ActivationKind::kSwiGlu;
    m.position = flip() ? PositionKind::kLearned : PositionKind::kRotary;
    m.qkv_bias = flip();
    m.proj_bias = flip();
    m.mlp_bias = flip();
    m.norm_bias = flip();
    m.qk_norm = flip();
    m.tied = flip();
    return m;
  }

  GraphOptions options() {
    GraphOptions o;
    o.batch = pick(1, 5);
    o.sequence = pick(1, 64);
    o.attention = static_cast<AttentionMethod>(pick(0, 2));
    o.dropout = flip() ? 0.1 : 0.0;
    o.autocast = flip();
    o.parameters = o.autocast || flip() ? DType::kFp32 : DType::kBf16;
    return o;
  }

 private:
  // Not std::uniform_int_distribution, whose numbers differ between libraries.
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1));
  }
  bool flip() { return pick(0, 1) == 1; }

  std::mt19937_64 engine_{20240229};
};

constexpr int kRuns = 300;

double forward(const OpGraph& graph) {
  double sum = 0;
  for (const Op& op : graph.ops) sum += forward_flops(graph, op, false).value;
  return sum;
}

}  // namespace

TEST_CASE("models: the graphs' parameters are the model's, a tied table counted once") {
  RandomModels random;
  for (int i = 0; i < kRuns; ++i) {
    const Model m = random.model();
    const ModelGraphs g = build_graphs(m, random.options());
    const std::int64_t shared = m.tied ? m.vocabulary * m.hidden : 0;
    REQUIRE(g.embedding.parameter_count() + m.layers * g.block.parameter_count() +
                g.head.parameter_count() - shared ==
            parameter_count(m));
  }
}

TEST_CASE("models: the graphs' FLOPs are those of the closed form") {
  RandomModels random;
  for (int i = 0; i < kRuns; ++i) {
    const Model m = random.model();
    const GraphOptions o = random.options();
    const ModelGraphs g = build_graphs(m, o);
    const double tokens = static_cast<double>(o.batch * o.sequence);
    const double queries = static_cast<double>(m.heads * m.head_size);
    const double keys = static_cast<double>(m.kv_heads * m.head_size);
    const double h = static_cast<double>(m.hidden);
    const double matrices = m.activation == ActivationKind::kSwiGlu ? 3 : 2;
    const double block =
        2 * tokens *
        (h * (2 * queries + 2 * keys) + matrices * h * static_cast<double>(m.intermediate) +
         2 * static_cast<double>(o.sequence) * queries);
    REQUIRE(forward(g.block) == block);  // whole numbers below 2^53: exact
    REQUIRE(forward(g.head) == 2 * tokens * h * static_cast<double>(m.vocabulary));
    REQUIRE(forward(g.embedding) == 0);
  }
}

TEST_CASE("models: every graph checks out and hands on what the next one takes") {
  RandomModels random;
  for (int i = 0; i < kRuns; ++i) {
    const ModelGraphs g = build_graphs(random.model(), random.options());
    for (const OpGraph* graph : {&g.embedding, &g.block, &g.head})
      REQUIRE_NOTHROW(check_graph(*graph));
    const Tensor& made = g.embedding.tensor(g.embedding.output);
    for (const Tensor* t : {&g.block.tensor(g.block.input), &g.block.tensor(g.block.output),
                            &g.head.tensor(g.head.input)}) {
      REQUIRE(t->bytes() == made.bytes());
      REQUIRE(t->dtype == made.dtype);
    }
  }
}

TEST_CASE("models: backward visits every operator once, after all that read its results") {
  RandomModels random;
  for (int i = 0; i < kRuns; ++i) {
    const ModelGraphs g = build_graphs(random.model(), random.options());
    for (const OpGraph* graph : {&g.embedding, &g.block, &g.head}) {
      OpId last = static_cast<OpId>(graph->ops.size());
      std::set<OpId> seen;
      for (const GradOp& grad : derive_backward(*graph).ops) {
        REQUIRE(grad.forward <= last);
        last = grad.forward;
        seen.insert(grad.forward);
      }
      REQUIRE(seen.size() == graph->ops.size());
    }
  }
}

TEST_CASE("models: every parameter gets its gradient once and whatever is read was kept") {
  RandomModels random;
  for (int i = 0; i < kRuns; ++i) {
    const ModelGraphs g = build_graphs(random.model(), random.options());
    for (const OpGraph* graph : {&g.embedding, &g.block, &g.head}) {
      const BackwardGraph backward = derive_backward(*graph);
      std::vector<int> gradients(graph->tensors.size(), 0);
      for (const GradOp& grad : backward.ops) {
        const auto id = static_cast<std::size_t>(grad.forward);
        const Op& op = graph->ops[id];
        if (grad.kind != GradKind::kInputs) {
          for (TensorId t : op.parameters) ++gradients[static_cast<std::size_t>(t)];
        }
        for (TensorId t : grad.reads_saved) {
          const auto& kept = backward.saved[id];
          const bool parameter = graph->tensor(t).kind == TensorKind::kParameter;
          REQUIRE((parameter || std::find(kept.begin(), kept.end(), t) != kept.end()));
        }
      }
      for (std::size_t t = 0; t < gradients.size(); ++t) {
        const bool parameter = graph->tensors[t].kind == TensorKind::kParameter;
        REQUIRE(gradients[t] == (parameter ? 1 : 0));
      }
    }
  }
}
