#include "strategies/schedules/schedule.hpp"

namespace rehearse {

// Every micro-batch forward, then every micro-batch backward. Bubble over total (p-1)/(m+p-1); all
// m micro-batches' activations are alive at once.
std::vector<Action> gpipe(const PipelineShape& s) {
  std::vector<Action> out;
  for (int m = 0; m < s.micro_batches; ++m) out.push_back({ActionKind::kForward, 0, m});
  for (int m = 0; m < s.micro_batches; ++m) out.push_back({ActionKind::kBackward, 0, m});
  return out;
}

}  // namespace rehearse
