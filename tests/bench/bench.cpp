// Measures the engine: tasks replayed a second on one core, against a plain implementation.
//
//     rehearse_bench [--json FILE|-] [--runs N]
//
// Every benchmark also checks that the engines agree on the makespan; exit code 1 where they do
// not.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sim/engine/replay.hpp"
#include "tests/bench/baseline_replay.hpp"
#include "tests/bench/graphs.hpp"

namespace {

using rehearse::SimTime;
using rehearse::TaskGraph;

struct Options {
  std::string json;  // empty: print a table
  int runs = 5;
};

struct Result {
  std::string name;
  std::string graph;
  std::size_t tasks;
  std::size_t edges;
  double seconds;
  double baseline_seconds;

  double tasks_per_s() const { return static_cast<double>(tasks) / seconds; }
  double baseline_tasks_per_s() const { return static_cast<double>(tasks) / baseline_seconds; }
};

struct Measured {
  double median_s;
  SimTime makespan;
};

Measured measure(int runs, const std::function<rehearse::Timeline()>& run) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  SimTime makespan;
  for (int i = 0; i < runs; ++i) {
    const auto begin = Clock::now();
    makespan = run().makespan;
    seconds.push_back(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], makespan};
}

class Bench {
 public:
  explicit Bench(int runs) : runs_(runs) {}

  void run(const std::string& graph_name, const rehearse::bench::PipelineShape& shape,
           bool with_sweep) {
    const TaskGraph graph = rehearse::bench::pipeline_graph(shape);
    const rehearse::bench::BaselineReplay baseline(graph);
    // The baseline is slow and only a yardstick.
    const Measured plain = measure(std::max(1, runs_ / 2), [&] { return baseline.run(); });
    add("replay", graph_name, graph, plain, [&] { return rehearse::replay(graph); });
    if (with_sweep) add("sweep", graph_name, graph, plain, [&] { return rehearse::sweep(graph); });
  }

  const std::vector<Result>& results() const { return results_; }
  bool agree() const { return agree_; }

 private:
  void add(const std::string& engine, const std::string& graph_name, const TaskGraph& graph,
           const Measured& plain, const std::function<rehearse::Timeline()>& run) {
    const Measured measured = measure(runs_, run);
    results_.push_back({engine + "/" + graph_name, graph_name, graph.size(), graph.edge_count(),
                        measured.median_s, plain.median_s});
    if (measured.makespan != plain.makespan) {
      agree_ = false;
      std::fprintf(stderr, "%s: makespan %lld ps, but the baseline says %lld ps\n",
                   results_.back().name.c_str(), static_cast<long long>(measured.makespan.ps),
                   static_cast<long long>(plain.makespan.ps));
    }
  }

  int runs_;
  bool agree_ = true;
  std::vector<Result> results_;
};

std::string to_json(const std::vector<Result>& results) {
  nlohmann::ordered_json benchmarks = nlohmann::ordered_json::array();
  for (const Result& r : results) {
    benchmarks.push_back({{"name", r.name},
                          {"graph", r.graph},
                          {"tasks", r.tasks},
                          {"edges", r.edges},
                          {"tasks_per_s", r.tasks_per_s()},
                          {"baseline_tasks_per_s", r.baseline_tasks_per_s()},
                          {"seconds", r.seconds}});
  }
  return nlohmann::ordered_json{{"benchmarks", benchmarks}}.dump(2) + "\n";
}

void print_table(const std::vector<Result>& results) {
  std::printf("%-32s %10s %10s %9s %14s %14s\n", "benchmark", "tasks", "edges", "seconds",
              "tasks/s", "baseline");
  for (const Result& r : results) {
    std::printf("%-32s %10zu %10zu %9.4f %12.2f M %12.2f M\n", r.name.c_str(), r.tasks, r.edges,
                r.seconds, r.tasks_per_s() / 1e6, r.baseline_tasks_per_s() / 1e6);
  }
}

// Exits with 2 on a mistake, like `rehearse`.
Options parse(int argc, char** argv) {
  const auto fail = [](const std::string& why) {
    std::fprintf(stderr, "rehearse_bench: %s\nusage: rehearse_bench [--json FILE|-] [--runs N]\n",
                 why.c_str());
    std::exit(2);
  };
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--help") {
      std::printf("usage: rehearse_bench [--json FILE|-] [--runs N]\n");
      std::exit(0);
    }
    if (argument != "--json" && argument != "--runs") fail("unknown option " + argument);
    if (i + 1 == argc) fail(argument + " needs a value");
    const std::string value = argv[++i];
    if (argument == "--json") {
      options.json = value;
    } else {
      options.runs = std::atoi(value.c_str());
      if (options.runs < 1) fail("--runs needs a positive number, not " + value);
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::ofstream file;
  // Opened before the work, so that a wrong path costs no minute.
  if (!options.json.empty() && options.json != "-") {
    file.open(options.json);
    if (!file) {
      std::fprintf(stderr, "rehearse_bench: cannot write %s\n", options.json.c_str());
      return 2;
    }
  }
  Bench bench(options.runs);
  bench.run("pipeline-1m", {.tasks = 1'000'000}, true);
  bench.run("pipeline-1m-interference",
            {.tasks = 1'000'000, .foreground_rate = 0.9, .background_rate = 0.9}, false);
  bench.run("pipeline-10m", {.tasks = 10'000'000}, false);
  if (options.json.empty()) {
    print_table(bench.results());
  } else if (options.json == "-") {
    std::cout << to_json(bench.results());
  } else {
    file << to_json(bench.results());
  }
  return bench.agree() ? 0 : 1;
}
