#include "tools/cli/search/search.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

using namespace rehearse;

namespace {

// A small model on a small cluster, with a batch and a memory that make some plans not fit.
Scenario small_case(std::mt19937& random) {
  const auto pick = [&](std::vector<std::string> from) {
    return from[std::uniform_int_distribution<std::size_t>(0, from.size() - 1)(random)];
  };
  const std::string text =
      "model: {model_type: " + pick({"llama", "gpt2"}) +
      ", num_hidden_layers: " + pick({"4", "6", "8"}) + ", hidden_size: " + pick({"256", "512"}) +
      ", num_attention_heads: " + pick({"4", "8"}) + ", vocab_size: 4096}\n" +
      "cluster: {name: " + pick({"dgx-h100", "dgx-a100"}) + ", nodes: " + pick({"1", "2"}) +
      ", gpus_per_node: " + pick({"2", "4"}) +
      ", gpu: {usable_memory: " + pick({"1200 MB", "3 GB", "80 GB"}) + "}}\n" +
      "runtime: " + pick({"megatron", "pytorch-eager"}) + "\n" +
      "training: {sequence_length: 512, micro_batch_size: 1, global_batch_size: " +
      pick({"8", "16"}) + ", precision: " + pick({"bf16", "mixed"}) + "}\n";
  return read_scenarios(parse_text(text, "s.yaml"), "s").front();
}

const std::vector<std::string> kFewer{"training.micro_batch_size=1,2", "plan.zero_stage=0,1",
                                      "training.recompute=none,full", "plan.virtual_stages=1,2",
                                      "plan.schedule=1f1b,interleaved-1f1b,zbv"};

struct Key {
  std::size_t index;
  double objective;
  bool operator==(const Key&) const = default;
};
std::vector<Key> keys(const std::vector<FoundPlan>& plans) {
  std::vector<Key> out;
  for (const FoundPlan& p : plans) out.push_back({p.index, p.objective});
  return out;
}

}  // namespace

TEST_CASE("A search finds what simulating every plan finds") {
  std::mt19937 random(5);
  for (int round = 0; round < 4; ++round) {
    const SearchSpace space(small_case(random), 0, kFewer);
    for (const Objective& objective : objectives()) {
      SearchOptions options;
      options.top = 3;
      const SearchResult pruned = search(space, objective, options);
      options.exhaustive = true;
      const SearchResult all = search(space, objective, options);
      INFO("round " << round << ", objective " << objective.name);
      CHECK(keys(pruned.best) == keys(all.best));
      CHECK(keys(pruned.front) == keys(all.front));
      CHECK(pruned.simulated <= all.simulated);
      for (const SearchResult* r : {&pruned, &all})
        CHECK(r->infeasible + r->too_large + r->bounded + r->simulated == space.choices().size());
    }
  }
}

TEST_CASE("No plan takes less time or memory than its bound") {
  std::mt19937 random(9);
  EvaluationCache cache;
  for (int round = 0; round < 4; ++round) {
    const SearchSpace space(small_case(random), 0, kFewer);
    for (const Choice& choice : space.choices()) {
      try {
        const Scenario s = space.scenario(choice);
        const EvaluationBound least = bound(s, cache);
        const Evaluation e = evaluate(s, cache);
        INFO(space.label(choice));
        CHECK(least.step_time <= e.step_time);
        CHECK(least.memory <= e.peak_reserved);
        CHECK((least.may_fit || !e.fits));
      } catch (const UserError&) {
        continue;  // its parts do not go together
      }
    }
  }
}

TEST_CASE("The number of jobs changes neither the answer nor the counts") {
  std::mt19937 random(3);
  const SearchSpace space(small_case(random), 0, kFewer);
  SearchOptions options;
  const SearchResult one = search(space, find_objective("time"), options);
  options.jobs = 3;
  const SearchResult three = search(space, find_objective("time"), options);
  CHECK(keys(one.best) == keys(three.best));
  CHECK(keys(one.front) == keys(three.front));
  CHECK(one.simulated == three.simulated);
  CHECK(one.bounded == three.bounded);
}

TEST_CASE("The front holds what nothing beats in time and memory, and the winner of each") {
  std::mt19937 random(4);
  SearchResult r;
  for (int round = 0; round < 10 && r.front.empty(); ++round)
    r = search(SearchSpace(small_case(random), 0, kFewer), find_objective("time"), {});
  REQUIRE_FALSE(r.front.empty());
  CHECK(r.front.front().evaluation.step_time == r.best.front().evaluation.step_time);
  for (std::size_t i = 1; i < r.front.size(); ++i) {
    CHECK(r.front[i - 1].evaluation.step_time < r.front[i].evaluation.step_time);
    CHECK(r.front[i - 1].evaluation.peak_reserved > r.front[i].evaluation.peak_reserved);
  }
}
