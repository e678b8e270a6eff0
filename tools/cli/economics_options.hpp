#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "sim/report/run_report.hpp"

namespace rehearse {

// --tokens and --price, as several commands have them.
struct EconomicsOptions {
  std::string tokens;  // "15T"
  std::optional<double> price;

  void add_to(CLI::App& sub);
  // Throws UserError where `tokens` is no number. To be asked before anything runs.
  double training_tokens() const;
  void apply(RunReport& report) const;
};

}  // namespace rehearse
