#pragma once

#include <array>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "sim/report/kernel_class.hpp"
#include "tools/cli/measured.hpp"
#include "tools/cli/simulation.hpp"

namespace rehearse {

// Totals of a step by kernel class, predicted beside measured. Ranks are compared with those that
// stand for them: the mean over the measured ranks; for collectives, which wait for each other, the
// rank that takes least.
struct KernelComparison {
  struct Entry {
    Seconds measured{0}, predicted{0};
    double measured_count = 0, predicted_count = 0;
  };
  std::array<Entry, kKernelClasses> classes{};
  Seconds step{0};  // measured
  bool known = false;

  const Entry& of(KernelClass c) const { return classes[static_cast<std::size_t>(c)]; }
  // Part of the measured step.
  double share(KernelClass c) const { return of(c).measured.value / step.value; }
  double error(
      KernelClass c) const;  // (predicted - measured) / measured; 0 where none was measured
};

// `s`: simulated without merging. Not `known` where the run has no kernels.
KernelComparison compare_kernels(const MeasuredRun& run, const Simulation& s);

struct NamedComparison {
  std::string name;
  KernelComparison kernels;
};

// Classes count in the summary where they take over `kCountedShare` of the measured step.
inline constexpr double kCountedShare = 0.05;
std::string kernel_table(const std::vector<NamedComparison>& runs);
nlohmann::ordered_json kernel_json(const KernelComparison& c);
nlohmann::ordered_json kernel_summary_json(const std::vector<NamedComparison>& runs);

}  // namespace rehearse
