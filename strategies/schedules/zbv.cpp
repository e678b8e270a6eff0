#include <algorithm>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {

// ZB-V (Qi et al. 2024, "Zero Bubble Pipeline Parallelism", section on the V schedule): two chunks
// a rank, the second on the way back, so that the first rank also has the last stage and starts
// backward early. Written for at least 2 p - 1 micro-batches; with fewer, the actions of the
// missing ones fall away.
std::vector<Action> zbv(const PipelineShape& s) {
  const int p = s.ranks, r = s.rank, m = std::max(2 * p - 1, s.micro_batches);
  std::vector<Action> all;
  int f0 = 0, f1 = 0, b0 = 0, b1 = 0;
  const auto f = [&](int chunk, int& n) { all.push_back({ActionKind::kForward, chunk, n++}); };
  const auto b = [&](int chunk, int& n, bool weights) {
    all.push_back({weights ? ActionKind::kBackward : ActionKind::kBackwardInputs, chunk, n++});
  };
  for (int i = 0; i < 2 * (p - r) - 1; ++i) f(0, f0);
  for (int i = 0; i < r; ++i) {
    f(1, f1);
    f(0, f0);
  }
  for (int i = 0; i < p - r; ++i) {
    f(1, f1);
    b(1, b1, true);
  }
  while (f1 < f0 || f0 < m) {
    if (f0 < m) f(0, f0);
    b(0, b0, true);
    f(1, f1);
    b(1, b1, true);
  }
  int w0 = b0, w1 = b1;
  const auto w = [&](int chunk, int& n) {
    all.push_back({ActionKind::kBackwardWeights, chunk, n++});
  };
  for (int i = 0; i < r; ++i) {
    b(0, b0, false);
    b(1, b1, false);
  }
  for (int i = 0; i < p - r; ++i) {
    b(0, b0, false);
    w(0, w0);
  }
  while (w1 < b1) w(1, w1);
  while (w0 < b0) w(0, w0);
  std::erase_if(all, [&](const Action& a) { return a.micro_batch >= s.micro_batches; });
  return all;
}

}  // namespace rehearse
