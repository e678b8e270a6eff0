#include <algorithm>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {

// ZB-H2 (Qi et al. 2024, "Zero Bubble Pipeline Parallelism", section 2.3.2): rank r runs
// 2 (p - r) - 1 forwards before its first backward, so that no rank waits for it, and is 2 r
// micro-batches behind with the gradients of weights, so that the ranks end one after the other as
// they began. With tf = tb = tw and at least 2 p - 1 micro-batches there is no bubble; every rank
// keeps 2 p - 1 micro-batches, about twice 1F1B's.
std::vector<Action> zb_h2(const PipelineShape& s) {
  std::vector<Action> out;
  const int ahead = std::min(s.micro_batches, 2 * (s.ranks - s.rank) - 1);
  int forwards = 0, weights = 0;
  while (forwards < ahead) out.push_back({ActionKind::kForward, 0, forwards++});
  for (int m = 0; m < s.micro_batches; ++m) {
    out.push_back({ActionKind::kBackwardInputs, 0, m});
    if (m >= 2 * s.rank) out.push_back({ActionKind::kBackwardWeights, 0, weights++});
    if (forwards < s.micro_batches) out.push_back({ActionKind::kForward, 0, forwards++});
  }
  while (weights < s.micro_batches) out.push_back({ActionKind::kBackwardWeights, 0, weights++});
  return out;
}

}  // namespace rehearse
