#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rehearse {

using LinkId = std::uint32_t;
using FlowId = std::uint32_t;

// A link that a flow crosses: at rate x it takes weight * x of the link's capacity.
struct Crossing {
  LinkId link = 0;
  double weight = 1;
  bool operator==(const Crossing&) const = default;
};

// Max-min fair sharing of links by flows that come and go (Bertsekas and Gallager, Data Networks,
// 2nd ed., section 6.5.2).
//
// The system. Link l has a capacity C_l. Flow f crosses a set of links, each with a weight w_fl,
// and has a rate x_f, at most its cap R_f. Rates are feasible when
//
//     sum over flows f that cross l of w_fl x_f  <=  C_l     for every link l,
//     0 <= x_f <= R_f                                        for every flow f.
//
// Feasible rates are max-min fair when no flow can be given more without taking from a flow that
// has no more than it. There is exactly one such vector, and a feasible one is it if and only if
// every flow has a bottleneck: its cap (x_f = R_f), or a link that is full and on which no other
// flow has a larger rate. The tests check this characterisation.
//
// The solution: progressive filling. All flows grow together from 0. When a link fills up, its
// flows have their rate and stop; when a flow reaches its cap, it stops; the others go on. With
// `free_l` the capacity of link l not taken by flows that have stopped, and W_l the weights of its
// growing flows, the common level stops next at
//
//     min( min over l with growing flows of free_l / W_l,  min over growing f of R_f ).
//
// Every round stops at least one flow, so there are at most as many rounds as flows.
//
// Increments. A change reaches the flows on the links that it touches, the flows on the other links
// of those, and so on; no others. solve() fills that part anew. Flows are filled in order of id and
// the result depends on which flows there are, never on how they came: bit by bit what solving
// everything anew would give.
class LinkSharing {
 public:
  // Flow ids are below `flows`. Precondition: capacities are finite and not negative; otherwise
  // std::logic_error.
  LinkSharing(std::vector<double> capacities, std::size_t flows);

  // The flow crosses these links from the next solve() on, in place of those before. `crossings` is
  // kept by reference until end(). Precondition: links exist, each at most once; the cap is not
  // negative.
  void begin(FlowId f, std::span<const Crossing> crossings, double cap);
  void set_cap(FlowId f, double cap);
  void end(FlowId f);

  // Solves what has changed, and says which flows it looked at: their rates may have changed. A
  // flow that crosses no link has its cap.
  std::span<const FlowId> solve();
  double rate(FlowId f) const { return flows_[f].rate; }

 private:
  struct Flow {
    std::span<const Crossing> wanted, crossings;  // from the next solve on; since the last
    double wanted_cap = 0, cap = 0;
    double rate = 0;
    bool exists = false, running = false;  // from the next solve on; since the last
    bool changed = false;                  // is it in changed_?
    bool reached = false;                  // is it in part_?
    bool growing = false;
  };
  struct Link {
    double capacity = 0;
    std::vector<FlowId> flows;
    bool reached = false;  // is it in links_?
    bool full = false;
    double free = 0, weight = 0;  // of its growing flows
    std::uint32_t growing = 0;
    double share() const { return (free > 0 ? free : 0) / weight; }
  };

  void note(FlowId f);
  void apply(FlowId f);
  void reach(LinkId l);
  void reach_flow(FlowId f);
  void fill();
  double next_level() const;
  void stop(Flow& f);

  std::vector<Link> links_;
  std::vector<Flow> flows_;
  std::vector<FlowId> changed_;     // since the last solve
  std::vector<LinkId> part_links_;  // what a solve fills
  std::vector<FlowId> part_, growing_;
};

}  // namespace rehearse
