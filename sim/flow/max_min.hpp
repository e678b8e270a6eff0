#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rehearse {

// Max-min fair sharing of links (Bertsekas and Gallager, Data Networks, 2nd ed., section 6.5.2).
//
// The system. Link l has a capacity C_l. Flow f crosses a set of links and has a rate x_f, at most
// its cap R_f. Rates are feasible when
//
//     sum over flows f that cross l of x_f  <=  C_l     for every link l,
//     0 <= x_f <= R_f                                   for every flow f.
//
// Feasible rates are max-min fair when no flow can be given more without taking from a flow that
// has no more than it. There is exactly one such vector, and a feasible one is it if and only if
// every flow has a bottleneck: its cap (x_f = R_f), or a link that is full and on which no other
// flow has a larger rate. The tests check this characterisation.
//
// The solution: progressive filling. All flows grow together from 0. When a link fills up, its
// flows have their rate and stop; when a flow reaches its cap, it stops; the others go on. With
// `free_l` the capacity of link l not taken by flows that have stopped, and n_l its growing flows,
// the common level stops next at
//
//     min( min over l with n_l > 0 of free_l / n_l,  min over growing f of R_f ).
//
// Every round stops at least one flow, so there are at most as many rounds as flows. A link that
// carries a flow twice (a route that passes it twice) counts it twice.
//
// Units are the caller's (bytes per second, say). Links are visited in order of number and flows in
// the order given, so the same input gives the same bits everywhere.
using LinkId = std::uint32_t;

// Rates of the flows, in the order given; `flows[f]` lists the links that flow f crosses.
// `rate_caps` is empty (no caps) or has one entry a flow, infinity for none. A flow that crosses no
// link and has no cap has an infinite rate.
// Precondition: capacities are finite and not negative, caps are not negative, link ids exist;
// otherwise std::logic_error.
std::vector<double> max_min_fair(std::span<const double> capacities,
                                 std::span<const std::vector<LinkId>> flows,
                                 std::span<const double> rate_caps = {});

}  // namespace rehearse
