#include "tools/cli/error_summary.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

namespace rehearse {

ErrorSummary summarise(std::string what, const std::vector<double>& errors) {
  ErrorSummary s{std::move(what), errors.size()};
  if (errors.empty()) return s;
  std::vector<double> size;
  for (double e : errors) size.push_back(std::abs(e));
  std::sort(size.begin(), size.end());
  const std::size_t n = size.size();
  s.mean = std::accumulate(size.begin(), size.end(), 0.0) / static_cast<double>(n);
  s.median = n % 2 ? size[n / 2] : (size[n / 2 - 1] + size[n / 2]) / 2;
  s.worst = size.back();
  s.bias = std::accumulate(errors.begin(), errors.end(), 0.0) / static_cast<double>(n);
  return s;
}

std::string summary_table(const std::vector<ErrorSummary>& summaries) {
  std::string out = fmt::format("{:<20} {:>5} {:>8} {:>8} {:>8} {:>8}\n", "error", "runs", "mean",
                                "median", "worst", "bias");
  for (const ErrorSummary& s : summaries)
    out += fmt::format("{:<20} {:>5} {:>6.1f} % {:>6.1f} % {:>6.1f} % {:>+6.1f} %\n", s.what,
                       s.count, 100 * s.mean, 100 * s.median, 100 * s.worst, 100 * s.bias);
  return out;
}

nlohmann::ordered_json summary_json(const std::vector<ErrorSummary>& summaries) {
  nlohmann::ordered_json out = nlohmann::json::array();
  for (const ErrorSummary& s : summaries)
    out.push_back({{"what", s.what.substr(s.what.find_first_not_of(' '))},
                   {"runs", s.count},
                   {"mean", s.mean},
                   {"median", s.median},
                   {"worst", s.worst},
                   {"bias", s.bias}});
  return out;
}

}  // namespace rehearse
