#include "sim/config/sweep.hpp"

#include <catch2/catch.hpp>
#include <set>
#include <string>
#include <vector>

using namespace rehearse;

namespace {

constexpr const char* kBase = R"(base:
  model: llama3-8b
  cluster: {name: dgx-h100, nodes: 2}
  training: {sequence_length: 4096, micro_batch_size: 1, global_batch_size: 64}
)";

struct Loaded {
  explicit Loaded(const std::string& text, const std::vector<std::string>& overrides = {})
      : sweep(parse_text(text, "s.yaml"), "s", overrides, references) {}
  References references;
  Sweep sweep;

  // "1,none" of every point that counts.
  std::vector<std::string> points() const {
    std::vector<std::string> out;
    for (std::uint64_t p = 0; p < sweep.combinations(); ++p) {
      if (sweep.left_out_by(p)) continue;
      out.emplace_back();
      for (const Value* v : sweep.values(p))
        out.back() += (out.back().empty() ? "" : ",") + v->as_scalar().text;
    }
    return out;
  }
};

std::string mistake(const std::string& text) {
  try {
    Loaded{text};
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("Cross takes every combination, the last key fastest") {
  const Loaded l(std::string(kBase) +
                 "cross: {plan.tensor_parallel: [1, 2], training.recompute: [none, full]}\n");
  CHECK(l.sweep.keys() == Texts{"plan.tensor_parallel", "training.recompute"});
  CHECK(l.points() == Texts{"1,none", "1,full", "2,none", "2,full"});
}

TEST_CASE("Zip goes together, and cross runs over it") {
  const Loaded l(std::string(kBase) +
                 "zip: {cluster.nodes: [1, 2], training.global_batch_size: [32, 64]}\n"
                 "cross: {plan.tensor_parallel: [1, 2]}\n");
  CHECK(l.points() == Texts{"1,1,32", "1,2,64", "2,1,32", "2,2,64"});
}

TEST_CASE("Ranges by step and factor, with units") {
  const auto values = [](const std::string& text) {
    Texts out;
    for (const Value& v : sweep_values(parse_text(text, "s.yaml"), "k"))
      out.push_back(v.as_scalar().text);
    return out;
  };
  CHECK(values("{from: 1, to: 16, factor: 2}") == Texts{"1", "2", "4", "8", "16"});
  CHECK(values("{from: 0.1, to: 0.3, step: 0.1}") == Texts{"0.1", "0.2", "0.3"});
  CHECK(values("{from: 8, to: 1, factor: 0.5}") == Texts{"8", "4", "2", "1"});
  CHECK(values("{from: 10, to: 0, step: -4}") == Texts{"10", "6", "2"});
  CHECK(values("{from: 100 Gb/s, to: 400 Gb/s, factor: 2}") ==
        Texts{"100 Gb/s", "200 Gb/s", "400 Gb/s"});
  CHECK_THROWS_WITH(values("{from: 1, to: 8}"), Catch::Contains("either 'step' or 'factor'"));
  CHECK_THROWS_WITH(values("{from: 1, to: 8, factor: 1}"), Catch::Contains("does not lead from"));
  CHECK_THROWS_WITH(values("{from: 1 us, to: 8 ms, factor: 2}"), Catch::Contains("same unit"));
  CHECK_THROWS_WITH(values("{from: 1, to: 8, stride: 2}"), Catch::Contains("unknown key 'stride'"));
  CHECK_THROWS_WITH(values("[]"), Catch::Contains("empty"));
}

TEST_CASE("Where knows swept keys, keys of the base, defaults, files behind names, and the GPUs") {
  const std::string cross = "cross: {plan.tensor_parallel: [1, 2, 4], cluster.nodes: [1, 2]}\n";
  const auto points = [&](const std::string& where) {
    return Loaded(kBase + cross + "where: " + where + "\n").points().size();
  };
  CHECK(points("plan.tensor_parallel * plan.pipeline_parallel < 4") == 4);
  CHECK(points("training.global_batch_size == 64") == 6);
  CHECK(points("gpus == 8") == 3);
  CHECK(points("plan.data_parallel == 8") == 2);  // 1 of 8 GPUs, 2 of 16
  CHECK(points("cluster.gpus_per_node == 8 and cluster.gpu.memory > \"79 GB\"") == 6);
  CHECK(points("model.num_hidden_layers % (plan.tensor_parallel * 16) == 0") == 4);
  CHECK(points("model == 'llama3-8b' and cluster == \"dgx-h100\"") == 6);
  CHECK(points("[gpus == 8, plan.tensor_parallel > 1]") == 2);
}

TEST_CASE("Where follows references that are swept") {
  const Loaded l(
      "base: {model: llama3-8b, cluster: h200-4,\n"
      "  training: {sequence_length: 4096, micro_batch_size: 1, global_batch_size: 64}}\n"
      "cross: {cluster: [h200-2, h200-4, dgx-h100]}\nwhere: gpus > 2\n");
  CHECK(l.points() == Texts{"h200-4", "dgx-h100"});
}

TEST_CASE("The plans of the base are the first axis") {
  const Loaded l(
      "base: llama3-8b-4xh200\ncross: {training.global_batch_size: [32, 64]}\n"
      "where: plans != 'ddp'\n");
  CHECK(l.sweep.combinations() == 8);
  CHECK(l.points() == Texts{"fsdp,32", "fsdp,64", "tp4,32", "tp4,64", "pp4,32", "pp4,64"});
  CHECK(l.sweep.scenario(3).plan.zero_stage == 3);
  CHECK(l.sweep.scenario(3).training.global_batch_size == 64);
}

TEST_CASE("Overrides change the base, and sweeps what they change") {
  const Loaded l(
      std::string(kBase) + "cross: {cluster.inter_node.bandwidth: [100 Gb/s, 800 Gb/s]}\n",
      {"training.sequence_length=2048"});
  const Scenario s = l.sweep.scenario(1);
  CHECK(s.training.sequence_length == 2048);
  CHECK(s.cluster.find("inter_node")->find("bandwidth")->as_scalar().text == "800 Gb/s");
  CHECK(s.cluster.find("inter_node")->find("nics_per_node")->as_scalar().text == "8");
}

TEST_CASE("Points that share a reference share its tree") {
  const Loaded l(std::string(kBase) + "cross: {plan.tensor_parallel: [1, 2]}\n");
  CHECK(l.sweep.scenario(0).cluster.identity() == l.sweep.scenario(1).cluster.identity());
  CHECK(l.sweep.scenario(0).runtime.identity() == l.sweep.scenario(1).runtime.identity());
}

TEST_CASE("Mistakes of a sweep file have a place and the nearest name") {
  const std::string base = kBase;
  CHECK_THAT(mistake(base + "cross: {plan.tensor_paralel: [1, 2]}\n"),
             Catch::Contains("s.yaml:5:") && Catch::Contains("did you mean 'tensor_parallel'?"));
  CHECK_THAT(mistake(base + "cross: {training.recompute: [none, fulll]}\n"),
             Catch::Contains("s.yaml:5:36:") && Catch::Contains("did you mean 'full'?"));
  CHECK_THAT(mistake(base + "cross: {cluster: [dgx-h100, dgx-h10]}\n"),
             Catch::Contains("unknown cluster 'dgx-h10'"));
  CHECK_THAT(mistake(base + "cros: {plan.tensor_parallel: [1]}\n"),
             Catch::Contains("did you mean 'cross'?"));
  CHECK_THAT(
      mistake(base + "cross: {plan.tensor_parallel: [1]}\nwhere: plan.tensor_paralell > 1\n"),
      Catch::Contains("s.yaml:6:8:") && Catch::Contains("did you mean 'plan.tensor_parallel'?"));
  CHECK_THAT(mistake(base + "cross: {plan.tensor_parallel: [1]}\nwhere: model.hiden_size > 1\n"),
             Catch::Contains("did you mean 'model.hidden_size'?"));
  CHECK_THAT(mistake(base + "cross: {cluster.nodes: [1], cluster: [h200-2]}\n"),
             Catch::Contains("would undo"));
  CHECK_THAT(mistake(base + "cross: {cluster.nodes: [1]}\nzip: {cluster.nodes: [1]}\n"),
             Catch::Contains("swept twice"));
  CHECK_THAT(mistake(base + "zip: {cluster.nodes: [1, 2], plan.tensor_parallel: [1]}\n"),
             Catch::Contains("has 1 values, but 'cluster.nodes' has 2"));
  CHECK_THAT(mistake(base), Catch::Contains("nothing is swept"));
  CHECK_THAT(mistake("cross: {plan.tensor_parallel: [1]}\n"),
             Catch::Contains("missing key 'base'"));
}

TEST_CASE("What does not go together is the point's, not the file's") {
  CHECK(mistake(std::string(kBase) +
                "cross: {training.micro_batch_size: [1, 3], training.global_batch_size: [64]}\n")
            .empty());
}

TEST_CASE("The content of a sweep changes with the file, its files and its expressions") {
  std::set<std::string> contents;
  const std::string cross = "cross: {plan.tensor_parallel: [1, 2]}\n";
  contents.insert(Loaded(kBase + cross).sweep.content());
  contents.insert(Loaded(kBase + cross + "description: no matter\n").sweep.content());
  CHECK(contents.size() == 1);
  contents.insert(Loaded(kBase + cross + "where: gpus > 8\n").sweep.content());
  contents.insert(Loaded(kBase + cross, {"training.dropout=0.1"}).sweep.content());
  contents.insert(Loaded(kBase + cross, {"cluster.gpu.memory=90 GB"}).sweep.content());
  contents.insert(
      Loaded(std::string(kBase) + "cross: {plan.tensor_parallel: [1, 4]}\n").sweep.content());
  CHECK(contents.size() == 5);
}
