#include <algorithm>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {

// ZB-V (Qi et al. 2024, "Zero Bubble Pipeline Parallelism", section 6): two chunks a rank, the
// second on the way back, so that the first rank also has the last stage and starts backward early.
// With tf = tb = tw no rank waits between its first and its last action, and rank r starts and ends
// r such times after the first; the memory is 1F1B's. Written for at least 2 p - 1 micro-batches;
// with fewer, the actions of the missing ones fall away.
std::vector<Action> zbv(const PipelineShape& s) {
  const int p = s.ranks, r = s.rank, n = std::max(2 * p - 1, s.micro_batches);
  std::vector<Action> all;
  int forwards[2] = {}, inputs[2] = {}, weights[2] = {};
  const auto f = [&](int c) { all.push_back({ActionKind::kForward, c, forwards[c]++}); };
  const auto b = [&](int c) { all.push_back({ActionKind::kBackwardInputs, c, inputs[c]++}); };
  const auto w = [&](int c) { all.push_back({ActionKind::kBackwardWeights, c, weights[c]++}); };
  const auto bw = [&](int c) {
    b(c);
    w(c);
  };
  for (int i = 0; i < 2 * (p - r) - 1; ++i) f(0);
  for (int i = 0; i < r; ++i) {
    f(1);
    f(0);
  }
  for (int i = 0; i < p - r; ++i) {
    f(1);
    bw(1);
  }
  while (forwards[1] < forwards[0] || forwards[0] < n) {
    if (forwards[0] < n) f(0);
    bw(0);
    f(1);
    bw(1);
  }
  for (int i = 0; i < r; ++i) {
    b(0);
    b(1);
  }
  for (int i = 0; i < p - r; ++i) bw(0);
  while (weights[1] < inputs[1]) w(1);
  while (weights[0] < inputs[0]) w(0);
  std::erase_if(all, [&](const Action& a) { return a.micro_batch >= s.micro_batches; });
  return all;
}

}  // namespace rehearse
