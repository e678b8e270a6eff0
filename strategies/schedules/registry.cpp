#include <array>

#include "strategies/schedules/schedule.hpp"

namespace rehearse {
namespace {

std::string fits(const PipelineShape&) { return {}; }

constexpr std::array kSchedules{
    Schedule{"gpipe", "all forwards, then all backwards (Huang et al. 2019)", Placement::kLoop, 1,
             false, false, Exchanges::kEach, fits, gpipe},
    Schedule{"1f1b", "one forward, one backward (PipeDream-flush, Narayanan et al. 2021)",
             Placement::kLoop, 1, false, false, Exchanges::kFused, fits, one_forward_one_backward},
    Schedule{"interleaved-1f1b", "1F1B over several chunks a rank (Narayanan et al. 2021)",
             Placement::kLoop, 0, false, false, Exchanges::kPosted, interleaved_misfit,
             interleaved},
    Schedule{"interleaved-zero-bubble",
             "interleaved 1F1B with weight gradients moved into the bubble (Qi et al. 2024)",
             Placement::kLoop, 0, true, true, Exchanges::kPosted, interleaved_misfit,
             interleaved_zero_bubble},
    Schedule{"zb-h1",
             "1F1B with weight gradients moved into the bubble, in 1F1B's memory (Qi et al. 2024)",
             Placement::kLoop, 1, true, true, Exchanges::kPosted, fits, zb_h1},
    Schedule{"zb-h2", "1F1B without a bubble, in twice its memory (Qi et al. 2024)",
             Placement::kLoop, 1, true, true, Exchanges::kPosted, fits, zb_h2},
    Schedule{"zbv", "zero bubble over two chunks a rank in a V (Qi et al. 2024)", Placement::kV, 2,
             true, true, Exchanges::kPosted, fits, zbv},
    Schedule{"dualpipe", "two copies of the model in opposite directions (DeepSeek-V3, 2024)",
             Placement::kMirror, 2, true, false, Exchanges::kPosted, dualpipe_misfit, dualpipe},
};

}  // namespace

std::span<const Schedule> schedules() { return kSchedules; }

const Schedule* find_schedule(const std::string& name) {
  for (const Schedule& s : kSchedules)
    if (s.name == name) return &s;
  return nullptr;
}

std::vector<std::string> schedule_names() {
  std::vector<std::string> out;
  for (const Schedule& s : kSchedules) out.emplace_back(s.name);
  return out;
}

int stage_of(const Schedule& s, int ranks, int rank, int chunk) {
  if (s.placement == Placement::kV && chunk == 1) return 2 * ranks - 1 - rank;
  if (s.placement == Placement::kMirror) return chunk == 0 ? rank : ranks - 1 - rank;
  return chunk * ranks + rank;
}

StagePlace place_of(const Schedule& s, int ranks, int chunks, int stage, int copy) {
  for (int r = 0; r < ranks; ++r)
    for (int c = 0; c < chunks; ++c)
      if (s.copy_of(c) == copy && stage_of(s, ranks, r, c) == stage) return {r, c};
  return {};
}

}  // namespace rehearse
