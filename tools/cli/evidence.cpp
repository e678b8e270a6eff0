#include "tools/cli/evidence.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "hardware/collectives/tuning.hpp"
#include "hardware/measured_range.hpp"
#include "tools/cli/kernel_totals.hpp"

namespace rehearse {
namespace {

bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

Evidence::Basis basis_of(std::string_view source) {
  for (const char* word : {"transferred", "datasheet", "estimate", "of the forward rate"})
    if (holds(source, word)) return Evidence::Basis::kTransferred;
  const bool own = holds(source, "calibration/results") || holds(source, "measured on");
  return own ? Evidence::Basis::kCalibrated : Evidence::Basis::kElsewhere;
}

struct Kind {
  std::string operator()(const GemmWork& w) const {
    return fmt::format("matrix products in {}", to_string(w.dtype));
  }
  std::string operator()(const AttentionWork& w) const {
    return w.direction == AttentionDirection::kForward ? "attention, forward"
                                                       : "attention, backward";
  }
  std::string operator()(const MemoryWork&) const { return "kernels bound by memory or issue"; }
};

// Of a source that says several things, the one that is a transfer.
std::string transferred_part(const std::string& source) {
  for (const char* word : {"transferred from", "datasheet", "backward at", "estimate"})
    if (const std::size_t at = source.find(word); at != source.npos) {
      const std::size_t end = source.find_first_of(";,:", at);
      return source.substr(at, end == source.npos ? end : end - at);
    }
  return source;
}

void add_kernels(const Simulation& s, std::vector<CarriedOver>& out) {
  const StepWindow window = step_window(s.lowered.graph, s.timeline, s.lowered.notes);
  const RankProgram& rank = s.program.ranks[window.device];
  const Gpu& gpu = s.cluster.gpu_of_type(s.program.machines[rank.machine].gpu_type);
  std::map<std::pair<std::string, std::string>, double> parts;
  for (const KernelTotal& k : kernel_totals(s, rank)) {
    const Evidence e = evidence_of(gpu, k.work);
    if (e.basis != Evidence::Basis::kTransferred) continue;
    parts[{std::visit(Kind{}, k.work), transferred_part(e.source)}] +=
        k.time.value * static_cast<double>(k.count);
  }
  for (const auto& [what, time] : parts)
    out.push_back({what.first, what.second, time / s.report.step_time.value});
  std::stable_sort(out.begin(), out.end(),
                   [](const CarriedOver& a, const CarriedOver& b) { return a.share > b.share; });
}

void add_machine(const Simulation& s, std::vector<CarriedOver>& out) {
  const Gpu& gpu = s.cluster.gpu;
  const Breakdown& b = s.report.breakdown;
  const double step = s.report.step_time.value;
  const bool communicates = !s.report.communication.empty();
  if (communicates && !gpu.beside.interferes())
    out.push_back({"kernels beside collectives",
                   fmt::format("not measured on {}: they do not slow each other", gpu.name), 0});
  if (gpu.throttle_products.per.value <= 0 && gpu.sustained_products >= 1)
    out.push_back({"clocks under the power limit",
                   fmt::format("not measured on {}: those of a burst", gpu.name), 0});
  const CollectiveTuning& library = s.cluster.collectives;
  const bool fitted = library.table && !library.table->network.empty();
  if (communicates && s.cluster.nodes > 1)
    out.push_back({"links between nodes",
                   fmt::format("{}: {:.0f} % of the stated rate",
                               fitted ? "fitted to others' all_reduces, what is sent otherwise"
                                      : "not measured",
                               100 * library.inter_node_efficiency),
                   b.exposed_communication.value / step});
}

}  // namespace

Evidence evidence_of(const Gpu& gpu, const KernelWork& work) {
  Evidence e;
  e.source = price_kernel(gpu, work, Clocks::kSustained).source;
  e.basis = basis_of(e.source);
  e.octaves = octaves_outside(gpu, work, Clocks::kSustained);
  return e;
}

std::vector<CarriedOver> transfers_of(const Simulation& s) {
  std::vector<CarriedOver> out;
  if (s.cluster.gpu.ideal) return out;
  add_kernels(s, out);
  add_machine(s, out);
  return out;
}

}  // namespace rehearse
