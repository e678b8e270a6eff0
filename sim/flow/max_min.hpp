#pragma once

#include <span>
#include <vector>

#include "sim/flow/link_sharing.hpp"

namespace rehearse {

// Max-min fair rates of flows that all are there at once (LinkSharing, with weights of 1), as a
// pure function: rates in the order given; `flows[f]` lists the links that flow f crosses, one that
// it passes twice twice. `rate_caps` is empty (no caps) or has one entry a flow, infinity for none.
// A flow that crosses no link and has no cap has an infinite rate. Precondition: capacities are
// finite and not negative, caps are not negative, link ids exist; otherwise std::logic_error.
std::vector<double> max_min_fair(std::span<const double> capacities,
                                 std::span<const std::vector<LinkId>> flows,
                                 std::span<const double> rate_caps = {});

}  // namespace rehearse
