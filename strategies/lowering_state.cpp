#include "strategies/lowering_state.hpp"

#include <string>

namespace rehearse {

template <class Sink>
LoweringState<Sink>::LoweringState(const Program& p, const Cluster& c, const LowerOptions& o,
                                   Prices& pr)
    : program(p),
      cluster(c),
      options(o),
      prices(pr),
      transfers(p, c, pr),
      digests(c, pr, {o.merge, c.gpu.beside.interferes() || transfers.network().inside_meets()}),
      sink(p, c, o),
      messages(p.ranks.size()),
      meetings_(p.ranks.size() * kGroupKinds) {
  if (transfers.network().may_meet()) sink.add_links(transfers.network().links());
  if constexpr (Sink::kAnnotates) {
    names = {sink.intern("issue"),        sink.intern("synchronize"),   sink.intern("nccl send"),
             sink.intern("nccl receive"), sink.intern("nccl exchange"), {},
             sink.intern("Memcpy DtoH"),  sink.intern("Memcpy HtoD")};
    for (std::size_t i = 0; i < kCollectiveOps; ++i)
      names.collective[i] =
          sink.intern("nccl " + std::string(to_string(static_cast<CollectiveOp>(i))));
  }
  if (!o.variation.any()) return;
  intervals.resize(p.machines.size());
  for (std::size_t m = 0; m < intervals.size(); ++m)
    for (SegmentId s = 0; s < p.segments.size(); ++s)
      intervals[m].push_back(rehearse::intervals(p.segments[s], pr.segment(m, s)));
}

template <class Sink>
typename LoweringState<Sink>::Meeting& LoweringState<Sink>::meeting(std::size_t kind,
                                                                    std::int32_t first_member,
                                                                    std::uint32_t number) {
  auto& both = meetings_[kind * program.ranks.size() + static_cast<std::size_t>(first_member)];
  Meeting& m = both[number % 2];
  if (m.number == number) return m;
  m.number = number;
  m.arrived = 0;
  Sink::clear(m.arrivals);
  m.done = Sink::kNone;
  return m;
}

template class LoweringState<GraphSink>;
template class LoweringState<ClockSink>;

}  // namespace rehearse
