#include <algorithm>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {

// Rank r runs p - r - 1 forwards ahead, then one forward and one backward in turn, then the
// backwards that are left. The same bubble as GPipe, with min(m, p - r) micro-batches alive.
std::vector<Action> one_forward_one_backward(const PipelineShape& s) {
  std::vector<Action> out;
  const int ahead = std::min(s.micro_batches, s.ranks - s.rank - 1);
  for (int m = 0; m < ahead; ++m) out.push_back({ActionKind::kForward, 0, m});
  for (int m = 0; m < s.micro_batches; ++m) {
    if (m + ahead < s.micro_batches) out.push_back({ActionKind::kForward, 0, m + ahead});
    out.push_back({ActionKind::kBackward, 0, m});
  }
  return out;
}

}  // namespace rehearse
