#include <algorithm>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {

// ZB-H1 (Qi et al. 2024, "Zero Bubble Pipeline Parallelism", section 2.3.1): 1F1B's order with
// backward in two parts. Rank r is r micro-batches behind with the gradients of weights, which
// fill the end of the step; no rank keeps more than 1F1B's first, p micro-batches. Where a forward
// takes no less than the gradients of weights, the bubble is (p - 1)(tf + tb - tw), with tb for
// the gradients of activations alone.
std::vector<Action> zb_h1(const PipelineShape& s) {
  std::vector<Action> out;
  const int ahead = std::min(s.micro_batches, s.ranks - s.rank - 1);
  int weights = 0;
  for (int m = 0; m < ahead; ++m) out.push_back({ActionKind::kForward, 0, m});
  for (int m = 0; m < s.micro_batches; ++m) {
    if (m + ahead < s.micro_batches) out.push_back({ActionKind::kForward, 0, m + ahead});
    out.push_back({ActionKind::kBackwardInputs, 0, m});
    if (m >= s.rank) out.push_back({ActionKind::kBackwardWeights, 0, weights++});
  }
  while (weights < s.micro_batches) out.push_back({ActionKind::kBackwardWeights, 0, weights++});
  return out;
}

}  // namespace rehearse
