#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace rehearse {

// Relative errors, (predicted - measured) / measured, of several runs.
struct ErrorSummary {
  std::string what;
  std::size_t count = 0;
  double mean = 0, median = 0, worst = 0;  // of their sizes
  double bias = 0;                         // mean with signs
};

ErrorSummary summarise(std::string what, const std::vector<double>& errors);
std::string summary_table(const std::vector<ErrorSummary>& summaries);
nlohmann::ordered_json summary_json(const std::vector<ErrorSummary>& summaries);

}  // namespace rehearse
