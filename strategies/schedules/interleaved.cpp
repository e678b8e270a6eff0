#include <fmt/format.h>

#include <algorithm>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {
namespace {

// The k-th forward (or backward) of a rank: micro-batches go in rounds of p, all p through chunk 0,
// then all p through chunk 1, and so on; backward takes the chunks from the last.
Action at(const PipelineShape& s, int k, ActionKind kind) {
  const int round = s.ranks * s.chunks;
  const int chunk = (k % round) / s.ranks;
  const int micro_batch = (k / round) * s.ranks + k % s.ranks;
  return {kind, kind == ActionKind::kForward ? chunk : s.chunks - 1 - chunk, micro_batch};
}

// `ahead` forwards first; then a forward and a backward in turn. With `split`, backward is that of
// activations, and the weights' follow `delay` backwards later, at the latest at the end.
std::vector<Action> pattern(const PipelineShape& s, int ahead, bool split, int delay) {
  std::vector<Action> out;
  const int total = s.micro_batches * s.chunks;
  ahead = std::min(ahead, total);
  int weights = 0;
  for (int k = 0; k < ahead; ++k) out.push_back(at(s, k, ActionKind::kForward));
  for (int k = 0; k < total; ++k) {
    if (k + ahead < total) out.push_back(at(s, k + ahead, ActionKind::kForward));
    Action b = at(s, k, ActionKind::kBackward);
    if (split) b.kind = ActionKind::kBackwardInputs;
    out.push_back(b);
    if (split && k >= delay) {
      Action w = at(s, weights++, ActionKind::kBackward);
      w.kind = ActionKind::kBackwardWeights;
      out.push_back(w);
    }
  }
  while (split && weights < total) {
    Action w = at(s, weights++, ActionKind::kBackward);
    w.kind = ActionKind::kBackwardWeights;
    out.push_back(w);
  }
  return out;
}

}  // namespace

std::string interleaved_misfit(const PipelineShape& s) {
  if (s.chunks == 1 || s.micro_batches % s.ranks == 0) return {};
  return fmt::format("micro-batches in multiples of pipeline_parallel {}, but there are {}",
                     s.ranks, s.micro_batches);
}

// Rank r runs 2 (p - r - 1) + (v - 1) p chunk forwards ahead, so that with v chunks a rank the
// bubble is v times smaller: T = m (tf + tb) + (p - 1)(tf + tb) / v. Needs micro-batches in
// multiples of p.
std::vector<Action> interleaved(const PipelineShape& s) {
  if (s.chunks == 1) return one_forward_one_backward(s);
  return pattern(s, 2 * (s.ranks - s.rank - 1) + (s.chunks - 1) * s.ranks, false, 0);
}

// The same order with fewer forwards ahead, backward split in two, and rank r's weight gradients r
// backwards behind, where they fill the bubble at the end.
std::vector<Action> interleaved_zero_bubble(const PipelineShape& s) {
  return pattern(s, (s.ranks - s.rank - 1) + (s.chunks - 1) * s.ranks, true, s.rank);
}

}  // namespace rehearse
