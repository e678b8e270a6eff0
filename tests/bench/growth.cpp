// How the time of a whole `run` grows with GPUs, layers and micro-batches.

#include <fmt/format.h>

#include <string>
#include <vector>

#include "tests/bench/report.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse::bench {
namespace {

struct Point {
  const char* axis;
  int nodes = 128;  // of eight GPUs
  int layers = 96;
  int micro_batches = 192;
};

std::vector<Point> points() {
  std::vector<Point> out;
  for (const int nodes : {8, 32, 128, 512, 2048}) out.push_back({.axis = "GPUs", .nodes = nodes});
  for (const int layers : {24, 48, 96, 192}) out.push_back({.axis = "layers", .layers = layers});
  for (const int n : {24, 48, 96, 192, 384, 768})
    out.push_back({.axis = "micro-batches", .micro_batches = n});
  return out;
}

Scenario scenario_of(const Point& p) {
  const std::string text = fmt::format(
      "model: {{name: gpt3-175b, num_hidden_layers: {}}}\n"
      "cluster: {{name: dgx-a100, nodes: {}}}\n"
      "runtime: megatron\n"
      "training: {{sequence_length: 2048, micro_batch_size: 1, global_batch_size: {}, "
      "precision: mixed, recompute: selective}}\n"
      "plan: {{tensor_parallel: 8, sequence_parallel: true, pipeline_parallel: 8, "
      "schedule: interleaved-1f1b, virtual_stages: 3, zero_stage: 1}}\n",
      p.layers, p.nodes, p.micro_batches * p.nodes / 8);
  return read_scenarios(parse_text(text, "growth"), "growth").front();
}

}  // namespace

Report bench_growth(const Options& options) {
  Report report;
  report.table = fmt::format("{:<14} {:>7} {:>7} {:>13} {:>10} {:>9}\n", "a whole run", "GPUs",
                             "layers", "micro-batches", "tasks", "seconds");
  report.json = nlohmann::ordered_json::array();
  for (const Point& p : points()) {
    const Scenario s = scenario_of(p);
    std::uint64_t tasks = 0;
    const double seconds =
        median_seconds(options.runs, [&] { tasks = simulate(s).report.simulation.tasks; });
    report.table += fmt::format("{:<14} {:>7} {:>7} {:>13} {:>10} {:>9.4f}\n", p.axis, p.nodes * 8,
                                p.layers, p.micro_batches, tasks, seconds);
    report.json.push_back({{"axis", p.axis},
                           {"gpus", p.nodes * 8},
                           {"layers", p.layers},
                           {"micro_batches", p.micro_batches},
                           {"tasks", tasks},
                           {"seconds", seconds}});
  }
  return report;
}

}  // namespace rehearse::bench
