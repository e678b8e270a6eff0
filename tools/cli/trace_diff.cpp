// `rehearse trace-diff`: a profiled step beside the simulated one.

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "sim/base/format.hpp"
#include "sim/report/kernel_class.hpp"
#include "sim/report/profiler_trace.hpp"
#include "sim/report/writers/text_table.hpp"
#include "sim/report/writers/writers.hpp"
#include "tools/cli/command.hpp"
#include "tools/cli/pick.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {
namespace {

struct Options {
  std::string scenario, profile, plan, trace, json;
  std::vector<std::string> overrides;
};

struct Line {
  std::string what;
  Seconds measured{0}, simulated{0};
  std::int64_t measured_count = 0, simulated_count = 0;

  Seconds difference() const { return simulated - measured; }
};

KernelTotals totals_of(const GpuTrace& trace) {
  KernelTotals totals;
  for (const GpuKernel& k : trace.kernels) totals.add(classify_kernel(k.name), k.end - k.start);
  return totals;
}

// A line a class that either has, the largest difference first.
std::vector<Line> classes(const GpuTrace& measured, const GpuTrace& simulated) {
  const KernelTotals m = totals_of(measured), s = totals_of(simulated);
  std::vector<Line> lines;
  for (std::size_t c = 0; c < kKernelClasses; ++c)
    if (m.count[c] > 0 || s.count[c] > 0)
      lines.push_back({std::string(to_string(static_cast<KernelClass>(c))), m.time[c], s.time[c],
                       m.count[c], s.count[c]});
  std::stable_sort(lines.begin(), lines.end(), [](const Line& a, const Line& b) {
    return std::abs(a.difference().value) > std::abs(b.difference().value);
  });
  return lines;
}

std::vector<Line> whole(const GpuTrace& measured, const GpuTrace& simulated) {
  const auto line = [&](const char* what, const auto& value) {
    return Line{what, value(measured), value(simulated), 0, 0};
  };
  return {line("first kernel to last", [](const GpuTrace& t) { return t.span(); }),
          line("GPU busy", busy_time),
          line("GPU idle", [](const GpuTrace& t) { return t.span() - busy_time(t); }),
          line("collectives beside kernels", overlapped_time)};
}

// The simulated rank that stands for the profiled one: the nearest before it.
std::uint32_t device_of(const Annotations& notes, int rank) {
  std::uint32_t best = 0;
  for (std::uint32_t d = 0; d < notes.devices.size(); ++d)
    if (notes.devices[d].rank <= rank && notes.devices[d].rank >= notes.devices[best].rank)
      best = d;
  return best;
}

std::string percent(const Line& l) {
  return l.measured.value > 0 ? fmt::format("{:+.1f} %", 100 * (ratio(l.simulated, l.measured) - 1))
                              : "";
}

std::string signed_seconds(Seconds s) {
  return (s.value < 0 ? "-" : "+") + format_seconds(Seconds(std::abs(s.value)));
}

std::string text(const std::vector<Line>& all, const std::vector<Line>& by_class) {
  using Align = TextTable::Align;
  TextTable table({{"", Align::kLeft},
                   {"measured"},
                   {"simulated"},
                   {"difference"},
                   {""},
                   {"calls"},
                   {"simulated"}});
  for (const Line& l : all)
    table.add_row({l.what, format_seconds(l.measured), format_seconds(l.simulated),
                   signed_seconds(l.difference()), percent(l), "", ""});
  table.add_heading("kernels by class, the largest difference first:");
  for (const Line& l : by_class)
    table.add_row({l.what, format_seconds(l.measured), format_seconds(l.simulated),
                   signed_seconds(l.difference()), percent(l), std::to_string(l.measured_count),
                   std::to_string(l.simulated_count)});
  return table.to_string("") +
         "a collective's measured time has waiting for the other ranks in it\n";
}

nlohmann::ordered_json json(const std::vector<Line>& lines) {
  nlohmann::ordered_json out = nlohmann::ordered_json::array();
  for (const Line& l : lines)
    out.push_back({{"what", l.what},
                   {"measured_s", l.measured.value},
                   {"simulated_s", l.simulated.value},
                   {"measured_count", l.measured_count},
                   {"simulated_count", l.simulated_count}});
  return out;
}

int trace_diff(const Options& o) {
  for (const std::string& path : {o.trace, o.json})
    if (!path.empty()) check_output(path);
  const Scenario scenario = pick_scenario(load(o.scenario, o.overrides), o.plan);
  const GpuTrace measured = read_profiler_trace(o.profile);
  SimulationOptions options;
  options.merge = false;
  const Simulation s = simulate(scenario, options);
  const GpuTrace simulated = simulated_gpu_trace(s.lowered.graph, s.timeline, s.lowered.notes,
                                                 device_of(s.lowered.notes, measured.rank));
  const std::vector<Line> all = whole(measured, simulated), by_class = classes(measured, simulated);
  if (!o.trace.empty()) write_output(o.trace, side_by_side_trace(measured, simulated));
  if (!o.json.empty()) {
    nlohmann::ordered_json out{{"schema", "rehearse.trace-diff/1"}, {"rank", measured.rank}};
    out["whole"] = json(all);
    out["classes"] = json(by_class);
    write_output(o.json, out.dump(2) + "\n");
  }
  if (o.json != "-" && o.trace != "-") std::fputs(text(all, by_class).c_str(), stdout);
  return kExitDone;
}

}  // namespace

void setup_trace_diff(CLI::App& sub, std::function<int()>& action) {
  auto o = std::make_shared<Options>();
  sub.add_option("scenario", o->scenario, "a scenario file, or a name in configs/scenarios")
      ->required();
  sub.add_option("profile", o->profile, "a trace of torch.profiler, .json or .json.gz")->required();
  sub.add_option("--plan", o->plan, "the plan, where the scenario has several");
  sub.add_option("--set", o->overrides, "key=value: sets any value")->allow_extra_args(false);
  sub.add_option("--trace", o->trace, "writes both timelines as one Chrome trace");
  sub.add_option("--json", o->json, "writes the differences as JSON ('-' is stdout)");
  action = [o] { return trace_diff(*o); };
}

}  // namespace rehearse
