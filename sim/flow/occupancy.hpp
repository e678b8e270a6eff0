#pragma once

#include <cstdint>
#include <vector>

#include "sim/flow/link_sharing.hpp"

namespace rehearse {

// Whether flows at full speed ever want more of a link than it has: if not, max-min fair sharing
// leaves each its full speed, and times found without it are right.
//
// Intervals of a link may come in any order; those that only touch are not at the same time. What
// has been found stays, and after that nothing is kept any more.
class Occupancy {
 public:
  explicit Occupancy(std::size_t links) : links_(links) {}

  // `taken`: of the link's capacity, 1.
  void add(LinkId link, std::int64_t begin_ps, std::int64_t end_ps, double taken);
  bool overfull();

 private:
  struct Interval {
    std::int64_t begin, end;
    double taken;
  };
  struct Link {
    std::vector<Interval> intervals;
    std::size_t check_at = 1024;  // so many
  };
  static bool overfull(std::vector<Interval>& intervals);

  std::vector<Link> links_;
  bool overfull_ = false;
};

}  // namespace rehearse
