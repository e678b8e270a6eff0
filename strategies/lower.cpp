#include "strategies/lower.hpp"

#include <deque>
#include <stdexcept>
#include <utility>

#include "strategies/priced_segment.hpp"
#include "strategies/rank_lowering.hpp"

namespace rehearse {

namespace {

// Walks every rank as far as it can go until all are done.
template <class Sink>
void walk(LoweringState<Sink>& state) {
  std::deque<RankLowering<Sink>> ranks;
  for (std::size_t r = 0; r < state.program.ranks.size(); ++r)
    ranks.emplace_back(state, static_cast<std::uint32_t>(r));
  std::size_t done = 0;
  while (done < ranks.size()) {
    bool moved = false;
    done = 0;
    for (RankLowering<Sink>& r : ranks) {
      moved |= r.advance();
      done += r.finished();
    }
    if (!moved && done < ranks.size())
      throw std::logic_error("the program's ranks wait for each other for ever");
  }
}

}  // namespace

Lowered lower(const Program& program, const Cluster& cluster, const LowerOptions& options) {
  Prices prices(program, cluster, options.clocks);
  LoweringState<GraphSink> state(program, cluster, options, prices);
  walk(state);
  return std::move(state.sink).finish(prices);
}

bool clock_suffices(const Cluster& cluster) { return !cluster.gpu.beside.interferes(); }

StepTimes walked_step_times(const Program& program, const Cluster& cluster,
                            const LowerOptions& options, Prices& prices) {
  LoweringState<ClockSink> state(program, cluster, options, prices);
  walk(state);
  return state.sink.finish();
}

}  // namespace rehearse
