#include "hardware/collectives/tuning.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace rehearse {
namespace {

std::size_t index_of(CollectiveOp op) { return static_cast<std::size_t>(op); }

// The curves to interpolate between; the second is null at a measured number of ranks, and past
// the last they are the last two.
struct Neighbours {
  const MeasuredCurve* low = nullptr;
  const MeasuredCurve* high = nullptr;
};

Neighbours neighbours(const std::vector<MeasuredCurve>& curves, int ranks, bool nvls) {
  Neighbours found;
  for (const MeasuredCurve& curve : curves) {
    if (curve.nvls && !(nvls && curve.ranks == ranks)) continue;
    if (curve.ranks == ranks) return {&curve, nullptr};
    if (found.high && found.high->ranks > ranks) break;
    if (found.high) found.low = found.high;
    found.high = &curve;
  }
  if (found.high && !found.low) return {found.high, nullptr};
  return found;
}

}  // namespace

Cost MeasuredCurve::at(CollectiveOp op, double bytes) const {
  const auto past = std::upper_bound(
      regimes.begin() + 1, regimes.end(), bytes,
      [](double value, const Regime& regime) { return value < regime.from_bytes; });
  const Regime& regime = *(past - 1);
  const double wire = nvls ? bytes : wire_bytes(op, bytes, ranks);
  Cost cost{regime.latency, Seconds(wire / regime.bandwidth.value), {wire, 0}};
  if (cost.total() < regime.floor) cost.latency = regime.floor - cost.bandwidth;
  return cost;
}

std::optional<Cost> TuningTable::measured(CollectiveOp op, double bytes, int ranks,
                                          bool nvls) const {
  const auto [low, high] = neighbours(curves[index_of(op)], ranks, nvls);
  if (!low) return std::nullopt;
  const double wire = wire_bytes(op, bytes, ranks);
  const auto at_same_wire = [&](const MeasuredCurve& curve) {
    return curve.at(op, wire / wire_bytes(op, 1, curve.ranks));
  };
  Cost at_low = at_same_wire(*low);
  if (!high) {
    at_low.latency += link.latency * std::max(0, ranks - low->ranks);
    return at_low;
  }
  const Cost at_high = at_same_wire(*high);
  const int apart = high->ranks - low->ranks;
  if (ranks > high->ranks) {
    // What a rank adds to the smallest messages: sizes share it, so that time still rises with
    // size.
    const Seconds added = high->regimes.front().latency - low->regimes.front().latency;
    const Seconds hop = max(Seconds(0), added) / apart;
    return Cost{at_high.latency + hop * (ranks - high->ranks), at_high.bandwidth, {wire, 0}};
  }
  const double where = static_cast<double>(ranks - low->ranks) / apart;
  return Cost{at_low.latency * (1 - where) + at_high.latency * where,
              at_low.bandwidth * (1 - where) + at_high.bandwidth * where,
              {wire, 0}};
}

bool TuningTable::beyond(CollectiveOp op, int ranks, bool nvls) const {
  const auto& all = curves[index_of(op)];
  return std::none_of(all.begin(), all.end(), [&](const MeasuredCurve& curve) {
    return curve.ranks >= ranks && (!curve.nvls || (nvls && curve.ranks == ranks));
  });
}

std::string TuningTable::basis(CollectiveOp op, int ranks, bool nvls) const {
  const auto [low, high] = neighbours(curves[index_of(op)], ranks, nvls);
  if (!low) return "not measured";
  if (low->ranks == ranks)
    return fmt::format("measured on {} ranks{}", ranks, low->nvls ? " with NVLS" : "");
  if (!high) return fmt::format("extrapolated from {} ranks", low->ranks);
  return fmt::format("{} from {} and {} ranks",
                     ranks > high->ranks ? "extrapolated" : "interpolated", low->ranks,
                     high->ranks);
}

bool TuningTable::uses_nvls(CollectiveOp op, int ranks, bool nvls) const {
  const auto& all = curves[index_of(op)];
  return nvls && std::any_of(all.begin(), all.end(), [&](const MeasuredCurve& curve) {
           return curve.ranks == ranks && curve.nvls;
         });
}

BytesPerSecond TuningTable::asymptotic(CollectiveOp op, int ranks) const {
  const auto [low, high] = neighbours(curves[index_of(op)], ranks, false);
  if (!low) return link.bandwidth;
  const BytesPerSecond at_low = low->regimes.back().bandwidth;
  if (!high) return at_low;
  const double where =
      std::min(1.0, static_cast<double>(ranks - low->ranks) / (high->ranks - low->ranks));
  return BytesPerSecond(std::lerp(at_low.value, high->regimes.back().bandwidth.value, where));
}

}  // namespace rehearse
