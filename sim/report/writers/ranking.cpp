#include <algorithm>

#include "sim/report/run_report.hpp"

namespace rehearse {

std::vector<const RunReport*> best_first(const std::vector<RunReport>& reports) {
  std::vector<const RunReport*> order;
  for (const RunReport& report : reports) order.push_back(&report);
  std::stable_sort(order.begin(), order.end(), [](const RunReport* a, const RunReport* b) {
    if (a->fits != b->fits) return a->fits;
    if (a->tokens_per_second != b->tokens_per_second) {
      return a->tokens_per_second > b->tokens_per_second;
    }
    return a->plan_name < b->plan_name;
  });
  return order;
}

}  // namespace rehearse
