// The engine: tasks replayed a second on one core, against a plain implementation.

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "sim/engine/replay.hpp"
#include "tests/bench/baseline_replay.hpp"
#include "tests/bench/graphs.hpp"
#include "tests/bench/report.hpp"

namespace rehearse::bench {
namespace {

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

Measured measure(int runs, const std::function<Timeline()>& run) {
  SimTime makespan;
  const double seconds = median_seconds(runs, [&] { makespan = run().makespan; });
  return {seconds, makespan};
}

class EngineBench {
 public:
  explicit EngineBench(int runs) : runs_(runs) {}

  void run(const std::string& graph_name, const PipelineShape& shape, bool with_sweep) {
    const TaskGraph graph = pipeline_graph(shape);
    const BaselineReplay baseline(graph);
    // The baseline is slow and only a yardstick.
    const Measured plain = measure(std::max(1, runs_ / 2), [&] { return baseline.run(); });
    add("replay", graph_name, graph, plain, [&] { return replay(graph); });
    if (with_sweep) add("sweep", graph_name, graph, plain, [&] { return sweep(graph); });
  }

  Report report() && {
    report_.table = fmt::format("{:<32} {:>10} {:>10} {:>9} {:>14} {:>14}\n", "benchmark", "tasks",
                                "edges", "seconds", "tasks/s", "baseline");
    report_.json = nlohmann::ordered_json::array();
    for (const Result& r : results_) {
      report_.table +=
          fmt::format("{:<32} {:>10} {:>10} {:>9.4f} {:>12.2f} M {:>12.2f} M\n", r.name, r.tasks,
                      r.edges, r.seconds, r.tasks_per_s() / 1e6, r.baseline_tasks_per_s() / 1e6);
      report_.json.push_back({{"name", r.name},
                              {"graph", r.graph},
                              {"tasks", r.tasks},
                              {"edges", r.edges},
                              {"tasks_per_s", r.tasks_per_s()},
                              {"baseline_tasks_per_s", r.baseline_tasks_per_s()},
                              {"seconds", r.seconds}});
    }
    return std::move(report_);
  }

 private:
  void add(const std::string& engine, const std::string& graph_name, const TaskGraph& graph,
           const Measured& plain, const std::function<Timeline()>& run) {
    const Measured measured = measure(runs_, run);
    results_.push_back({engine + "/" + graph_name, graph_name, graph.size(), graph.edge_count(),
                        measured.median_s, plain.median_s});
    if (measured.makespan == plain.makespan) return;
    report_.agree = false;
    fmt::print(stderr, "{}: makespan {} ps, but the baseline says {} ps\n", results_.back().name,
               measured.makespan.ps, plain.makespan.ps);
  }

  int runs_;
  Report report_;
  std::vector<Result> results_;
};

}  // namespace

Report bench_engine(const Options& options) {
  EngineBench bench(options.runs);
  bench.run("pipeline-1m", {.tasks = 1'000'000}, true);
  bench.run("pipeline-1m-interference",
            {.tasks = 1'000'000, .foreground_rate = 0.9, .background_rate = 0.9}, false);
  bench.run("pipeline-10m", {.tasks = 10'000'000}, false);
  bench.run("pipeline-10m-interference",
            {.tasks = 10'000'000, .foreground_rate = 0.9, .background_rate = 0.9}, false);
  return std::move(bench).report();
}

}  // namespace rehearse::bench
