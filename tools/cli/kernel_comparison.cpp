#include "tools/cli/kernel_comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "sim/base/format.hpp"
#include "sim/report/writers/text_table.hpp"
#include "tools/cli/error_summary.hpp"

namespace rehearse {
namespace {

constexpr KernelClass class_at(std::size_t i) { return static_cast<KernelClass>(i); }

// The simulated rank that stands for `rank`: the nearest one before it, since stages are blocks of
// consecutive ranks.
std::size_t device_for(const Annotations& notes, int rank) {
  std::size_t best = 0;
  for (std::size_t d = 0; d < notes.devices.size(); ++d) {
    const int at = notes.devices[d].rank;
    if (at <= rank && at >= notes.devices[best].rank) best = d;
  }
  return best;
}

struct RankValue {
  Seconds time{0};
  double count = 0;
};

RankValue over_ranks(const std::vector<KernelTotals>& ranks, std::size_t c) {
  RankValue mean, least;
  for (const KernelTotals& r : ranks) {
    const RankValue v{r.time[c], static_cast<double>(r.count[c])};
    mean.time += v.time / static_cast<double>(ranks.size());
    mean.count += v.count / static_cast<double>(ranks.size());
    if (&r == &ranks.front() || v.time < least.time) least = v;
  }
  return is_collective(class_at(c)) ? least : mean;
}

std::string percent(double e) { return fmt::format("{:+.1f} %", 100 * e); }

}  // namespace

double KernelComparison::error(KernelClass c) const {
  const Entry& e = of(c);
  return e.measured.value > 0 ? e.predicted.value / e.measured.value - 1 : 0;
}

KernelComparison compare_kernels(const MeasuredRun& run, const Simulation& s) {
  KernelComparison out;
  if (run.kernels.empty() || !run.step) return out;
  out.known = true;
  out.step = *run.step;
  const auto totals = kernel_totals(s.lowered.graph, s.timeline, s.lowered.notes);
  std::vector<KernelTotals> measured, predicted;
  for (const auto& [rank, kernels] : run.kernels) {
    measured.push_back(kernels);
    predicted.push_back(totals[device_for(s.lowered.notes, rank)]);
  }
  for (std::size_t c = 0; c < kKernelClasses; ++c) {
    const RankValue m = over_ranks(measured, c), p = over_ranks(predicted, c);
    out.classes[c] = {m.time, p.time, m.count, p.count};
  }
  return out;
}

namespace {

std::vector<ErrorSummary> summaries(const std::vector<NamedComparison>& runs) {
  std::vector<ErrorSummary> out;
  for (std::size_t c = 0; c < kKernelClasses; ++c) {
    std::vector<double> errors;
    for (const NamedComparison& r : runs)
      if (r.kernels.known && r.kernels.share(class_at(c)) > kCountedShare)
        errors.push_back(r.kernels.error(class_at(c)));
    if (!errors.empty()) out.push_back(summarise(std::string(to_string(class_at(c))), errors));
  }
  return out;
}

}  // namespace

std::string kernel_table(const std::vector<NamedComparison>& runs) {
  using Align = TextTable::Align;
  TextTable table({{"kernels", Align::kLeft},
                   {"measured", Align::kRight},
                   {"predicted", Align::kRight},
                   {"error", Align::kRight},
                   {"of the step", Align::kRight},
                   {"calls", Align::kRight},
                   {"predicted", Align::kRight}});
  std::size_t without = 0;
  for (const NamedComparison& r : runs) {
    if (!r.kernels.known) {
      ++without;
      continue;
    }
    table.add_heading(r.name);
    for (std::size_t i = 0; i < kKernelClasses; ++i) {
      const KernelClass c = class_at(i);
      const KernelComparison::Entry& e = r.kernels.of(c);
      if (e.measured.value == 0 && e.predicted.value == 0) continue;
      table.add_row({fmt::format("  {}", to_string(c)), format_seconds(e.measured),
                     format_seconds(e.predicted),
                     e.measured.value > 0 ? percent(r.kernels.error(c)) : "-",
                     format_percent(r.kernels.share(c)), fmt::format("{:.0f}", e.measured_count),
                     fmt::format("{:.0f}", e.predicted_count)});
    }
  }
  std::string out = table.to_string("");
  if (without > 0) out += fmt::format("\n{} runs carry no kernels: not compared\n", without);
  out += fmt::format("\nby class, where it takes over {:.0f} % of the measured step\n",
                     100 * kCountedShare);
  return out + summary_table(summaries(runs));
}

nlohmann::ordered_json kernel_json(const KernelComparison& c) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (std::size_t i = 0; i < kKernelClasses; ++i) {
    const KernelComparison::Entry& e = c.classes[i];
    if (e.measured.value == 0 && e.predicted.value == 0) continue;
    auto& j = out[std::string(to_string(class_at(i)))];
    j = {{"measured_s", e.measured.value},
         {"predicted_s", e.predicted.value},
         {"measured_count", e.measured_count},
         {"predicted_count", e.predicted_count},
         {"share_of_step", c.share(class_at(i))}};
    if (e.measured.value > 0) j["error"] = c.error(class_at(i));
  }
  return out;
}

nlohmann::ordered_json kernel_summary_json(const std::vector<NamedComparison>& runs) {
  return summary_json(summaries(runs));
}

}  // namespace rehearse
