#include "strategies/timed_steps.hpp"

#include <algorithm>

namespace rehearse {

bool TimedSteps::leave_out() {
  const TimedRank& first = clocks_.ranks.front();
  if (first.step != step_) {
    step_ = first.step;
    look_ = 0;
  }
  if (step_ < last() - 1 || step_ > last()) return false;
  if (look_ == kLooks || first.call >> look_ == 0) return false;
  while (look_ < kLooks && first.call >> look_ > 0) ++look_;
  const auto here = [&](const TimedRank& r) { return r.step == step_; };
  const bool all = std::all_of(clocks_.ranks.begin(), clocks_.ranks.end(), here);
  if (step_ < last()) {
    known_.resize(look_);
    if (all) known_.back() = state();
    return false;
  }
  if (!all || look_ > known_.size()) return false;
  const TimedState &before = known_[look_ - 1], now = state();
  if (!follows(before, now)) return false;
  for (std::size_t r = 0; r < clocks_.ranks.size(); ++r)
    clocks_.ended(r, step_,
                  clocks_.ends[static_cast<std::size_t>(step_) - 1][r] + now.now - before.now);
  return true;
}

TimedState TimedSteps::state() {
  return state_of(clocks_, meetings_, std::vector<TimedOrigin>(clocks_.ranks.size()));
}

bool TimedSteps::follows(const TimedState& before, const TimedState& now) const {
  if (before.numbers != now.numbers) return false;
  const std::vector<std::int64_t>& ends = clocks_.ends[static_cast<std::size_t>(step_) - 1];
  const std::optional<std::int64_t> start = clocks_.first_start(step_);
  if (!start || *start < *std::max_element(ends.begin(), ends.end())) return false;
  for (std::size_t r = 0; r < ends.size(); ++r)
    if (ends[r] <= before.now || !ignores_host(r, before, now)) return false;
  return true;
}

bool TimedSteps::ignores_host(std::size_t rank, const TimedState& before,
                              const TimedState& now) const {
  const std::int64_t then = before.ranks[rank].host - before.now;
  const std::int64_t here = now.ranks[rank].host - now.now;
  if (here == then) return true;
  const TimedRank& r = clocks_.ranks[rank];
  const auto step = static_cast<std::size_t>(step_) - 1;
  return here < then && r.waited_for_host[step] == before.ranks[rank].waited_for_host &&
         r.issued < clocks_.ends[step][rank];
}

}  // namespace rehearse
