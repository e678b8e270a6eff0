#include "tools/cli/explain/sensitivity.hpp"

#include <fmt/format.h>

#include "sim/base/format.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

constexpr double kFaster = 1.1;

struct Part {
  const char* name;
  void (*improve)(Cluster& cluster);
  bool (*applies)(const Cluster& cluster);
};

bool always(const Cluster&) { return true; }
bool several_gpus(const Cluster& c) { return c.gpus_per_node > 1; }
bool several_nodes(const Cluster& c) { return c.nodes > 1; }

void each_gpu(Cluster& c, void (*change)(Gpu&)) {
  change(c.gpu);
  for (Gpu& gpu : c.other_gpus) change(gpu);
}

constexpr Part kParts[] = {
    {"arithmetic (tensor cores, SMs)",
     [](Cluster& c) { each_gpu(c, [](Gpu& g) { g.faster.compute *= kFaster; }); }, &always},
    {"GPU memory bandwidth",
     [](Cluster& c) { each_gpu(c, [](Gpu& g) { g.faster.memory *= kFaster; }); }, &always},
    {"links inside a node, bandwidth",
     [](Cluster& c) { c.intra_node.bandwidth = c.intra_node.bandwidth * kFaster; }, &several_gpus},
    {"links inside a node, latency",
     [](Cluster& c) { c.intra_node.latency = c.intra_node.latency * (1 / kFaster); },
     &several_gpus},
    {"NICs, bandwidth",
     [](Cluster& c) { c.inter_node.bandwidth = c.inter_node.bandwidth * kFaster; }, &several_nodes},
    {"NICs, latency",
     [](Cluster& c) { c.inter_node.latency = c.inter_node.latency * (1 / kFaster); },
     &several_nodes},
    {"host", [](Cluster& c) { c.host.speed *= kFaster; }, &always},
};

}  // namespace

std::string sensitivity_text(const Scenario& scenario) {
  const Simulation base = simulate(scenario);
  std::string out = fmt::format(
      "step {}; simulated again with one part 10 % faster (bandwidth x 1.1, latency / 1.1):\n"
      "  {:<34}{:>12}{:>10}  {}\n",
      format_seconds(base.report.step_time), "faster part", "step", "gain", "of the most possible");
  for (const Part& part : kParts) {
    if (!part.applies(base.cluster)) continue;
    SimulationOptions options;
    options.improve = part.improve;
    const Seconds step = simulate(scenario, options).report.step_time;
    const double gain = ratio(base.report.step_time, step) - 1;
    out += fmt::format("  {:<34}{:>12}{:>8.2f} %  {:.0f} %\n", part.name, format_seconds(step),
                       100 * gain, 100 * gain / (kFaster - 1));
  }
  return out + "the last column: 100 % would be a step that depends on this part alone\n";
}

}  // namespace rehearse
