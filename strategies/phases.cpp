#include "strategies/phases.hpp"

#include <algorithm>
#include <limits>

namespace rehearse {

std::vector<StepList::Stretch> long_stretches(const StepList& steps) {
  std::vector<StepList::Stretch> out = steps.stretches();
  std::erase_if(out, [&](const StepList::Stretch& s) {
    return s.count < StepList::kLeastPeriods || 4 * s.period * s.count < steps.calls().size();
  });
  return out;
}

std::vector<Phase> phases_of(const Program& program) {
  std::vector<Phase> out;
  for (std::size_t r = 0; r < program.ranks.size(); ++r) {
    std::size_t n = 0;
    for (const StepList::Stretch& s : long_stretches(program.ranks[r].steps)) {
      if (r == 0) out.push_back({{}, std::numeric_limits<std::size_t>::max()});
      if (n == out.size() || (r > 0 && out[n].of_rank.front().shift != s.shift)) return {};
      out[n].of_rank.push_back(s);
      out[n].periods = std::min(out[n].periods, s.count);
      ++n;
    }
    if (n != out.size()) return {};
  }
  return out;
}

}  // namespace rehearse
