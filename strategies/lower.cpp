#include "strategies/lower.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <tuple>

#include "sim/base/sim_time.hpp"
#include "strategies/priced_segment.hpp"
#include "strategies/rank_lowering.hpp"

namespace rehearse {

Lowered lower(const Program& program, const Cluster& cluster, const LowerOptions& options) {
  Prices prices(program, cluster, options.clocks);
  LoweringState state(program, cluster, options, prices);
  std::vector<RankLowering> ranks;
  ranks.reserve(program.ranks.size());
  for (std::size_t r = 0; r < program.ranks.size(); ++r)
    ranks.emplace_back(state, static_cast<std::uint32_t>(r));
  // Walk every rank as far as it can go until all are done.
  std::size_t done = 0;
  while (done < ranks.size()) {
    bool moved = false;
    done = 0;
    for (RankLowering& r : ranks) {
      moved |= r.advance();
      done += r.finished();
    }
    if (!moved && done < ranks.size())
      throw std::logic_error("the program's ranks wait for each other for ever");
  }
  return state.finish();
}

}  // namespace rehearse
