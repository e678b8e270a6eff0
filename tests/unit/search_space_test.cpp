#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "strategies/schedules/schedule.hpp"
#include "tools/cli/search/space.hpp"

using namespace rehearse;

namespace {

Scenario base(const std::string& more = "") {
  const std::string text =
      "model: llama3-8b\ncluster: {name: dgx-h100, nodes: 2}\n"
      "training: {sequence_length: 4096, micro_batch_size: 1, global_batch_size: 32}\n" +
      more;
  return read_scenarios(parse_text(text, "s.yaml"), "s").front();
}

template <class Of>
std::set<int> values(const SearchSpace& space, Of of) {
  std::set<int> out;
  for (const Choice& c : space.choices()) out.insert(static_cast<int>(of(c)));
  return out;
}

}  // namespace

TEST_CASE("A search varies every axis within what divides") {
  const SearchSpace space(base(), 0, {});
  CHECK(values(space, [](const Choice& c) { return c.tensor; }) == std::set<int>{1, 2, 4, 8, 16});
  CHECK(values(space, [](const Choice& c) { return c.pipeline; }) == std::set<int>{1, 2, 4, 8, 16});
  CHECK(values(space, [](const Choice& c) { return c.zero; }) == std::set<int>{0, 1, 2, 3});
  CHECK(values(space, [](const Choice& c) { return c.micro_batch; }) ==
        std::set<int>{1, 2, 4, 8, 16});
  CHECK(values(space, [](const Choice& c) { return c.context; }) == std::set<int>{1});
  CHECK(values(space, [](const Choice& c) { return c.schedule; }).size() == schedules().size());
}

TEST_CASE("No choice comes twice") {
  const SearchSpace space(base(), 16, {});
  std::set<std::string> labels;
  for (const Choice& c : space.choices()) labels.insert(space.label(c));
  CHECK(labels.size() == space.choices().size());
}

TEST_CASE("Context parallelism is varied where sequences are long or the scenario has it") {
  CHECK(values(SearchSpace(base("plan: {context_parallel: 2}\n"), 0, {}),
               [](const Choice& c) { return c.context; }) == std::set<int>{1, 2, 4, 8, 16});
}

TEST_CASE("Values of the user's replace an axis's own") {
  const SearchSpace space(
      base(), 0,
      {"plan.tensor_parallel=8", "plan.schedule=gpipe", "training.recompute=full",
       "plan.zero_stage=1,3", "plan.context_parallel=2"});
  CHECK(values(space, [](const Choice& c) { return c.tensor; }) == std::set<int>{8});
  CHECK(values(space, [](const Choice& c) { return c.context; }) == std::set<int>{2});
  CHECK(values(space, [](const Choice& c) { return c.zero; }) == std::set<int>{1, 3});
  for (const Choice& c : space.choices()) CHECK(c.recompute == Recompute::kFull);
  CHECK_THROWS_WITH(SearchSpace(base(), 0, {"plan.tensor_paralel=8"}),
                    Catch::Contains("did you mean 'plan.tensor_parallel'?"));
  CHECK_THROWS_WITH(SearchSpace(base(), 0, {"plan.schedule=1f1"}),
                    Catch::Contains("did you mean '1f1b'?"));
}

TEST_CASE("Up to a number of GPUs every power of two is tried, in a node and of nodes") {
  std::set<int> gpus;
  const SearchSpace space(base(), 48, {"plan.zero_stage=0"});
  for (const ClusterSize& s : space.sizes()) gpus.insert(s.gpus());
  CHECK(gpus == std::set<int>{1, 2, 4, 8, 16, 32, 48});
}

TEST_CASE("A choice is a scenario, and its settings say which") {
  const SearchSpace space(base("plan: {stage_layers: [32]}\n"), 0, {"plan.pipeline_parallel=4"});
  const Choice& c = space.choices().front();
  const Scenario s = space.scenario(c);
  CHECK(s.plan.pipeline_parallel == 4);
  CHECK(s.plan.stage_layers.empty());
  std::vector<std::string> overrides;
  for (const auto& [key, value] : space.settings(c)) overrides.push_back(key + "=" + value);
  const std::string text =
      "model: llama3-8b\ncluster: {name: dgx-h100, nodes: 2}\n"
      "training: {sequence_length: 4096, micro_batch_size: 1, global_batch_size: 32}\n";
  const Scenario again = read_scenarios(parse_text(text, "s.yaml"), "s", overrides).front();
  CHECK(again.plan.tensor_parallel == s.plan.tensor_parallel);
  CHECK(again.plan.schedule == s.plan.schedule);
  CHECK(again.training.micro_batch_size == s.training.micro_batch_size);
  CHECK(again.training.recompute == s.training.recompute);
}
