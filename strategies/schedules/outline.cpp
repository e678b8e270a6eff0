#include "strategies/schedules/outline.hpp"

#include <algorithm>
#include <string_view>

namespace rehearse {
namespace {

using At = std::vector<Action>::const_iterator;

bool forward(const Action& a) { return a.kind == ActionKind::kForward; }

std::vector<ChunkActions> count(At begin, At end, int chunks) {
  std::vector<ChunkActions> out(static_cast<std::size_t>(chunks));
  for (; begin < end; ++begin) {
    ChunkActions& chunk = out[static_cast<std::size_t>(begin->chunk)];
    ++(forward(*begin) ? chunk.forwards : chunk.backwards);
  }
  return out;
}

ScheduleOutline outline_of(const std::vector<Action>& actions, int chunks) {
  const auto first_backward = std::find_if_not(actions.begin(), actions.end(), forward);
  const auto last_forward = std::find_if(actions.rbegin(), actions.rend(), forward).base() - 1;
  ScheduleOutline out;
  out.first_forward = actions.front().chunk;
  out.first_backward = first_backward->chunk;
  out.last_forward = last_forward->chunk;
  out.last_backward = actions.back().chunk;
  out.apart = first_backward < last_forward;
  for (const ChunkActions& c : count(actions.begin(), first_backward, chunks))
    out.before_backward.push_back(c.forwards);
  out.warm_up = count(actions.begin() + 1, first_backward, chunks);
  out.cool_down = count(last_forward + 1, actions.end() - 1, chunks);
  return out;
}

}  // namespace

const ScheduleOutline& ScheduleOutlines::of(const Schedule& schedule, PipelineShape s) {
  // GPipe's warm-up is all its forwards.
  if (std::string_view(schedule.name) != "gpipe")
    s.micro_batches = std::min(s.micro_batches, 4 * s.ranks);
  const auto [known, added] =
      known_.try_emplace({&schedule, s.ranks, s.rank, s.micro_batches, s.chunks});
  if (added) known->second = outline_of(schedule.actions(s), s.chunks);
  return known->second;
}

}  // namespace rehearse
