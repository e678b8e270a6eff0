#include "strategies/pass_digest.hpp"

#include "sim/base/sim_time.hpp"

namespace rehearse {

bool PassDigests::merges(const PricedSegment& segment, bool together) const {
  return rules_.merge && !together && !segment.synchronizes &&
         !(rules_.interferes && !segment.share.collectives.empty());
}

PassDigest PassDigests::digest(const StepList::Pass& pass, std::size_t machine,
                               bool together) const {
  PassDigest out;
  for (const Step& step : pass) {
    if (rules_.merge && std::holds_alternative<Memory>(step.work)) continue;
    const std::int64_t host =
        step.host.value == 0 ? 0 : to_sim_time(step.host / cluster_.host.speed).ps;
    const auto* run = std::get_if<RunSegment>(&step.work);
    const PricedSegment* segment = run ? &prices_.segment(machine, run->segment) : nullptr;
    if (!segment || !merges(*segment, together)) {
      out.push_back({&step, host, false, {}, {}, {}});
      continue;
    }
    if (out.empty() || !out.back().merged || !(out.back().beside == segment->beside))
      out.push_back({&step, 0, true, {}, segment->beside, {}});
    DigestedStep& last = out.back();
    last.run = last.run.then({0, host, 0}).then(segment->run);
    last.parts.push_back({run->segment, 0, static_cast<std::uint32_t>(segment->instrs.size())});
  }
  return out;
}

const PassDigest& PassDigests::of(const StepList::Pass& pass, std::size_t machine, bool together) {
  const auto [known, added] = known_.try_emplace({&pass, machine, together});
  if (added) known->second = digest(pass, machine, together);
  return known->second;
}

}  // namespace rehearse
